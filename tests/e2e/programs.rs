//! Programs of a distribution, unchanged.

use bulkhead_tests::images::{python_docker_archive, redis_oci};

use crate::bulkhead::pod;

#[test]
fn redis_answers_its_client_in_a_second_app() {
    let client = "
        until redis-cli ping >/dev/null 2>&1; do sleep 0.2; done
        redis-cli set answer 42 && redis-cli get answer && redis-cli incr answer
        redis-cli shutdown nosave
    ";
    let end = pod(&redis_oci())
        .name("server")
        .args(["--save", ""])
        .app(redis_oci())
        .name("client")
        .shell(client)
        .run()
        .exits(0);
    let answers: Vec<String> = end
        .text()
        .lines()
        .filter(|line| line.contains("client"))
        .filter_map(|line| Some(line.rsplit_once(": ")?.1.to_owned()))
        .collect();
    assert_eq!(answers, ["OK", "42", "43"], "{}", end.text());
}

#[test]
fn python_computes_and_its_code_is_the_pod_s() {
    pod(&python_docker_archive())
        .args([
            "-c",
            "import sys; print(sum(i * i for i in range(1000))); sys.exit(3)",
        ])
        .run()
        .exits(3)
        .prints("332833500\n");
}

#[test]
fn debian_s_tools_see_their_tree() {
    pod(&python_docker_archive())
        .shell("dpkg-query --show --showformat '${Status}\\n' redis-server; ls /usr/share/zoneinfo/UTC")
        .run()
        .exits(0)
        .prints("install ok installed\n/usr/share/zoneinfo/UTC\n");
}

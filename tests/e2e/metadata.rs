//! The metadata service: what apps learn of their pod, and what they can prove of it.

use bulkhead_tests::images::busybox_aci;

use crate::bulkhead::{own_data, pod};

#[test]
fn an_app_learns_its_pod_s_name_manifests_and_annotations() {
    let files = own_data();
    let uuid = files.path().join("uuid");
    let shell = "get() { wget -q -O - $AC_METADATA_URL/acMetadata/v1/$1; echo; }; get pod/uuid; get pod/annotations; \
        get apps/web/annotations; get apps/web/image/id; get pod/manifest; get apps/web/image/manifest";

    let finished = pod(&busybox_aci())
        .pod_flag(format!("--uuid-file-save={}", uuid.display()))
        .pod_flag("--mds-register")
        .name("web")
        .flag("--annotation=example.com/role=front")
        .shell(shell)
        .run()
        .exits(0);

    let printed = finished.text();
    let lines: Vec<&str> = printed.lines().collect();
    let uuid = std::fs::read_to_string(uuid).expect("the UUID");
    assert_eq!(lines[0], uuid.trim());
    assert!(lines[1].starts_with('['), "{printed}");
    let role = r#"{"name":"example.com/role","value":"front"}"#;
    assert!(lines[2].contains(role), "{printed}");
    assert!(lines[3].starts_with("sha512-"), "{printed}");
    assert!(
        lines[4].contains(r#""acKind":"PodManifest""#) && lines[4].contains(role),
        "{printed}"
    );
    assert!(
        lines[5].contains(r#""acKind":"ImageManifest""#),
        "{printed}"
    );
}

#[test]
fn answers_have_the_types_and_codes_of_the_specification() {
    let shell = r#"ask() {
            printf "$1 /$2 HTTP/1.1\r\nHost: a\r\n\r\n" | nc 127.0.0.1 18112 | grep -e ^HTTP -e ^Content-Type -e ^Allow | tr -d '\r';
        }
        token=${AC_METADATA_URL##*/}; base=$token/acMetadata/v1
        ask GET $base/pod/manifest; ask GET $base/pod/uuid; ask DELETE $base/pod/uuid
        ask GET other/acMetadata/v1/pod/uuid; ask GET $base/apps/nobody/image/id; echo none | nc 127.0.0.1 18112 | head -n 1 | tr -d '\r'"#;

    let text = "Content-Type: text/plain; charset=us-ascii\n";
    pod(&busybox_aci())
        .shell(shell)
        .run()
        .exits(0)
        .prints(&format!(
            "HTTP/1.1 200 OK\nContent-Type: application/json\nHTTP/1.1 200 OK\n{text}\
         HTTP/1.1 405 Method Not Allowed\n{text}Allow: GET\n\
         HTTP/1.1 404 Not Found\n{text}HTTP/1.1 404 Not Found\n{text}HTTP/1.1 400 Bad Request\n"
        ));
}

#[test]
fn what_a_pod_signs_is_verified_and_nothing_else_is() {
    let shell = r#"hmac=$AC_METADATA_URL/acMetadata/v1/pod/hmac
        uuid=$(wget -q -O - $AC_METADATA_URL/acMetadata/v1/pod/uuid)
        signature=$(wget -q -O - --post-data content=hello $hmac/sign | sed 's/+/%2B/g')
        verify() { wget -q -O - --post-data "content=$1&uuid=$2&signature=$signature" $hmac/verify 2>&1 && echo good; }
        verify hello $uuid; verify hullo $uuid; verify hello 6733c088-a507-4694-aabf-fb7c31d0b9c2; true"#;

    let refused = "wget: server returned error: HTTP/1.1 403 Forbidden\n";
    pod(&busybox_aci())
        .shell(shell)
        .run()
        .exits(0)
        .prints(&format!("good\n{refused}{refused}"));
}

#[test]
fn clients_that_stand_still_do_not_keep_others_out() {
    let shell = r#"for i in $(seq 40); do sleep 1000 | nc 127.0.0.1 18112 & done
        while [ $(grep -c :46C0 /proc/net/tcp) -lt 41 ]; do :; done
        wget -q -O - $AC_METADATA_URL/acMetadata/v1/pod/uuid | wc -c"#;

    pod(&busybox_aci())
        .shell(shell)
        .run()
        .exits(0)
        .prints("36\n");
}

use super::*;

fn manifest(config: &str, reference: &str) -> Value {
    let config: Config = serde_json::from_str(config).unwrap();
    serde_json::from_slice(&synthesize(&config, reference, "sha256:00")).unwrap()
}

fn annotation<'a>(manifest: &'a Value, name: &str) -> Option<&'a str> {
    let annotations = manifest["annotations"].as_array().unwrap();
    let found = annotations.iter().find(|a| a["name"] == name)?;
    found["value"].as_str()
}

#[test]
fn everything_that_docker2aci_maps() {
    let manifest = manifest(
        r#"{"os":"linux","architecture":"arm64","created":"2026-01-02T03:04:05Z",
        "rootfs":{"type":"layers","diff_ids":[]},
        "config":{"User":"redis","Entrypoint":["/entry","x"],"Cmd":["serve"],
        "Env":["PATH=/bin","A=1=2","A=3","EMPTY"],"WorkingDir":"data",
        "Volumes":{"/data":{},"/my/data":{},"/my-data":{}},
        "ExposedPorts":{"80/tcp":{},"53/UDP":{},"8000-8002":{},"junk":{}},
        "Labels":{"a":"b"},"StopSignal":"SIGQUIT"}}"#,
        "registry:5000/team/Redis:7",
    );
    assert_eq!(manifest["name"], "registry-5000/team/redis");
    assert_eq!(
        manifest["labels"],
        json!([{"name":"os","value":"linux"},{"name":"arch","value":"aarch64"},
               {"name":"version","value":"7"}])
    );
    let app = &manifest["app"];
    assert_eq!(app["exec"], json!(["/entry", "x", "serve"]));
    assert_eq!(
        (&app["user"], &app["group"]),
        (&json!("redis"), &json!("redis"))
    );
    assert_eq!(
        app["environment"],
        json!([{"name":"PATH","value":"/bin"},{"name":"A","value":"3"},
               {"name":"EMPTY","value":""}])
    );
    assert_eq!(app["workingDirectory"], "/data");
    let names = |list: &Value| -> Vec<String> {
        let list = list.as_array().unwrap();
        list.iter()
            .map(|v| v["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        names(&app["mountPoints"]),
        ["volume-data", "volume-my-data", "volume-my-data-2"]
    );
    assert_eq!(names(&app["ports"]), ["53-udp", "80-tcp", "8000-8002-tcp"]);
    assert_eq!(app["ports"][2]["count"], 3);
    assert_eq!(app["userLabels"], json!({"a": "b"}));
    assert_eq!(
        annotation(&manifest, "appc.io/docker/entrypoint"),
        Some(r#"["/entry","x"]"#)
    );
    assert_eq!(
        annotation(&manifest, "appc.io/docker/cmd"),
        Some(r#"["serve"]"#)
    );
    assert_eq!(
        annotation(&manifest, "bulkhead.dev/oci/stop-signal"),
        Some("SIGQUIT")
    );
    assert_eq!(annotation(&manifest, "appc.io/docker/tag"), Some("7"));
}

#[test]
fn an_image_that_says_nothing_runs_as_root() {
    let manifest = manifest(
        r#"{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":null},"config":null}"#,
        "box",
    );
    let app = &manifest["app"];
    assert_eq!((&app["user"], &app["group"]), (&json!("0"), &json!("0")));
    assert_eq!(app["exec"], json!([]));
    assert_eq!(manifest["name"], "box");
    assert_eq!(annotation(&manifest, "appc.io/docker/cmd"), None);
}

#[test]
fn users_with_groups_and_numbers() {
    assert_eq!(user_and_group("1000:100"), ("1000", "100"));
    assert_eq!(user_and_group("app:"), ("app", "app"));
    assert_eq!(user_and_group(":5"), ("0", "5"));
}

#[test]
fn paths_are_absolute_and_plain() {
    for (path, expected) in [
        ("data/", "/data"),
        ("/a/../b/./c", "/b/c"),
        ("../..", "/"),
        ("/", "/"),
    ] {
        assert_eq!(absolute(path), expected);
    }
}

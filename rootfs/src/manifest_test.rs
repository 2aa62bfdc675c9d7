use super::*;

#[test]
fn the_manifest_names_image_and_entrypoints() {
    let manifest: serde_json::Value = serde_json::from_str(&json("kvm", &[], "0.1.0")).unwrap();
    assert_eq!(
        manifest,
        serde_json::json!({
            "acKind": "ImageManifest",
            "acVersion": "0.8.11",
            "name": "bulkhead.dev/stage1-kvm",
            "labels": [
                {"name": "version", "value": "0.1.0"},
                {"name": "os", "value": "linux"},
                {"name": "arch", "value": "amd64"},
            ],
            "annotations": [
                {"name": "coreos.com/rkt/stage1/run", "value": "/run"},
                {"name": "coreos.com/rkt/stage1/enter", "value": "/enter"},
                {"name": "coreos.com/rkt/stage1/attach", "value": "/enter"},
                {"name": "coreos.com/rkt/stage1/stop", "value": "/stop"},
                {"name": "coreos.com/rkt/stage1/app/add", "value": "/app-add"},
                {"name": "coreos.com/rkt/stage1/app/start", "value": "/app-start"},
                {"name": "coreos.com/rkt/stage1/app/stop", "value": "/app-stop"},
                {"name": "coreos.com/rkt/stage1/app/rm", "value": "/app-rm"},
                {"name": "coreos.com/rkt/stage1/interface-version", "value": "6"},
                {"name": "bulkhead.dev/stage1/export", "value": "/run"},
                {"name": "bulkhead.dev/stage1/takes-block-images", "value": "true"},
            ],
        })
    );
}

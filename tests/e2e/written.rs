//! Pods of written manifests, whose image is in the store.

use std::fs;
use std::path::Path;

use bulkhead_tests::images::busybox_oci;
use serde_json::{Value, json};

use crate::bulkhead::{Finished, bulkhead, image_id, own_data};

/// A data directory with busybox in its store.
pub(crate) struct Written {
    data: tempfile::TempDir,
    id: String,
}

impl Written {
    pub(crate) fn new() -> Self {
        Self::of(&busybox_oci())
    }

    /// The same with another image.
    pub(crate) fn of(image: &Path) -> Self {
        let data = own_data();
        let id = format!("sha512-{}", image_id(image, data.path()));
        Self { data, id }
    }

    /// An app that is the image's own.
    pub(crate) fn app_of_image(&self, name: &str) -> Value {
        json!({"name": name, "image": {"id": self.id}})
    }

    /// An app of the image that runs a shell script, with these fields beside its program, and these of the image's app.
    pub(crate) fn app(&self, name: &str, script: &str, of_pod: Value, of_app: Value) -> Value {
        let mut app = json!({"exec": ["/bin/sh", "-c", script], "user": "0", "group": "0"});
        merge(&mut app, of_app);
        let mut runtime = json!({"name": name, "image": {"id": self.id}, "app": app});
        merge(&mut runtime, of_pod);
        runtime
    }

    /// Runs a pod of these apps, with these fields beside them.
    pub(crate) fn run(&self, apps: &[Value], fields: Value) -> Finished {
        let mut manifest = json!({"acVersion": "0.8.11", "acKind": "PodManifest", "apps": apps});
        merge(&mut manifest, fields);
        let file = self.data.path().join("pod.json");
        fs::write(&file, manifest.to_string()).expect("the manifest");
        let flag = format!("--pod-manifest={}", file.display());
        bulkhead(["run", &flag]).data(self.data.path()).run()
    }
}

fn merge(into: &mut Value, fields: Value) {
    let fields = fields.as_object().expect("fields").clone();
    into.as_object_mut().expect("an object").extend(fields);
}

//! Apps that say themselves when they are ready.

use bulkhead_pod::manifest::{ImageManifest, RuntimeApp};
use bulkhead_protocol::plan::AppName;

use super::PlanError;

/// An annotation of an image, or of an app of the pod (appc specification; systemd.service(5), `Type=notify`).
const ANNOTATION: &str = "appc.io/executor/supports-systemd-notify";

/// What the pod says of the app, or else what its image says.
pub(super) fn is_said(
    app: &RuntimeApp,
    image: &ImageManifest,
    name: &AppName,
) -> Result<bool, PlanError> {
    let mut of_pod = app.annotations.iter();
    let of_pod = of_pod.find(|annotation| annotation.name.as_str() == ANNOTATION);
    let value = of_pod.map(|annotation| annotation.value.as_str());
    match value.or_else(|| image.annotation(ANNOTATION)) {
        Some("true") => Ok(true),
        Some("false") | None => Ok(false),
        Some(other) => Err(PlanError::Annotation {
            app: name.clone(),
            name: ANNOTATION,
            value: other.to_owned(),
        }),
    }
}

#[cfg(test)]
#[path = "readiness_test.rs"]
mod tests;

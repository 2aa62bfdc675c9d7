//! Pod and image manifests, and the pod's life on disk.

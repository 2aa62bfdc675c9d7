//! The deterministic guest root and the assembly of the stage1 image.

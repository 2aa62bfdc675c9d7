//! Hostile archives in, verified read-only block images in a content store out.

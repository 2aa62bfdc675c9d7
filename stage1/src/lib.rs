//! The stage1 entrypoints: plan, spawn, supervise, relay.

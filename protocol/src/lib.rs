//! Every byte that crosses a process or VM boundary: message types and framing, nothing else.

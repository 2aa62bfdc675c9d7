//! End-to-end tests on real KVM, nested where the machine has none.

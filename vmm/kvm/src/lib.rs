//! KVM file descriptors, memory slots, and vCPU runs as an exit enum.

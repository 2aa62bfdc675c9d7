//! A machine specification in; memory, boot protocol, devices, threads and event loop out.

//! The processes: who runs as whom, who may talk to whom, and the loops that feed the machines.
#![forbid(unsafe_code)]

//! Delivery over the network: MX, connections, reuse; drives smtp::client.
#![forbid(unsafe_code)]

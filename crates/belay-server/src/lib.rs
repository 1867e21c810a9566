//! Under construction.

pub mod desk;
pub mod config;
pub mod tls;
pub mod shutdown;
pub mod metrics;

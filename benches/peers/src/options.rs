//! The options of a run. They are environment variables, because criterion uses the command line itself. `run` sets
//! them.

use std::env;

pub struct Options {
    /// Parts of names of workloads, one of which must fit. Without any, everything fits.
    workloads: Vec<String>,
    /// Names of peers, in the same way.
    peers: Vec<String>,
    /// Threads of each peer.
    pub threads: usize,
    /// A tenth of the time: to see whether everything runs.
    pub quick: bool,
}

impl Options {
    /// `PEERS_WORKLOADS`, `PEERS_NAMES` (both separated by commas), `PEERS_THREADS` and `PEERS_QUICK`.
    pub fn from_env() -> Self {
        let list = |name| -> Vec<String> {
            let text = env::var(name).unwrap_or_default();
            text.split(',').filter(|part| !part.is_empty()).map(String::from).collect()
        };
        Self {
            workloads: list("PEERS_WORKLOADS"),
            peers: list("PEERS_NAMES"),
            threads: env::var("PEERS_THREADS").ok().and_then(|text| text.parse().ok()).unwrap_or(1),
            quick: env::var_os("PEERS_QUICK").is_some(),
        }
    }

    pub fn wants_workload(&self, workload: &str) -> bool {
        self.workloads.is_empty() || self.workloads.iter().any(|part| workload.contains(part.as_str()))
    }

    pub fn wants_peer(&self, name: &str) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|wanted| wanted == name)
    }
}

//! One line of JSON for each result. `run` reads it from this package and from programs of other languages alike.

use crate::timing::Tail;
use serde_json::json;

/// The outcome of one peer at one workload.
pub enum Outcome {
    /// It was timed. All times are in ns.
    Timed { error: f64, ns: Option<f64>, tail: Option<Tail> },
    /// It does not take part, and why: it lacks the cell, or its answers are wrong.
    LeftOut(String),
}

pub struct Line<'a> {
    /// `lstm_step/H32`.
    pub workload: &'a str,
    pub peer: &'a str,
    /// Which part of the peer ran, where there is a choice.
    pub variant: &'a str,
    pub threads: usize,
    pub outcome: Outcome,
}

impl Line<'_> {
    /// The line, without the end of the line.
    pub fn to_json(&self) -> String {
        let Self { workload, peer, variant, threads, outcome } = self;
        let mut line = json!({ "workload": workload, "peer": peer, "variant": variant, "threads": threads });
        match outcome {
            Outcome::LeftOut(why) => line["left_out"] = json!(why),
            Outcome::Timed { error, ns, tail } => {
                line["error"] = json!(error);
                if let Some(ns) = ns {
                    line["ns"] = json!(ns);
                }
                if let Some(Tail { p50, p99, p999, max }) = tail {
                    line["p50"] = json!(p50);
                    line["p99"] = json!(p99);
                    line["p99.9"] = json!(p999);
                    line["max"] = json!(max);
                }
            }
        }
        line.to_string()
    }
}

//! Every peer at every workload, the peers in turn. Ids of criterion: `lstm_step/tract/H32`; a line of JSON for each
//! result.
//!
//! `run` is the way to call it: it knows where the other languages are. Alone: `cargo bench`, with the variables of
//! [`peers::options`].

use criterion::{BenchmarkId, Criterion};
use peers::check::{check, check_loss};
use peers::nets::{LESSON_STEPS, Net};
use peers::options::Options;
use peers::peer::{Peer, Result, Stream};
use peers::peers::all;
use peers::result::{Line, Outcome};
use peers::timing;
use std::hint::black_box;

/// The lesson was learnt if its last loss is below this.
const LEARNT: f32 = 1e-2;

/// Streams that are stepped together; libtorch.cpp has as many.
const STREAMS: usize = 960;

struct Run {
    criterion: Criterion,
    options: Options,
    peers: Vec<Box<dyn Peer>>,
}

impl Run {
    /// Calls `measure` for each peer that is wanted, to time the workload `kind/size`, and prints the outcome.
    /// `measure` is given the peer and a way to time a call.
    fn each(
        &mut self,
        kind: &str,
        size: &str,
        measure: impl Fn(&dyn Peer, &mut dyn FnMut(&mut dyn FnMut(u64)) -> f64) -> Result<Outcome>,
    ) {
        let workload = format!("{kind}/{size}");
        if !self.options.wants_workload(&workload) {
            return;
        }
        let mut group = self.criterion.benchmark_group(kind);
        for peer in self.peers.iter().filter(|peer| self.options.wants_peer(peer.name())) {
            let (name, variant) = (peer.name(), peer.variant());
            let id = if variant.is_empty() { name.to_string() } else { format!("{name}, {variant}") };
            let mut usual = |work: &mut dyn FnMut(u64)| timing::usual(&mut group, BenchmarkId::new(&id, size), work);
            let outcome = measure(peer.as_ref(), &mut usual);
            let outcome = outcome.unwrap_or_else(|why| Outcome::LeftOut(why.to_string()));
            let threads = self.options.threads;
            println!("{}", Line { workload: &workload, peer: name, variant, threads, outcome }.to_json());
        }
        group.finish();
    }

    fn steps(&mut self) {
        for net in Net::streams() {
            self.each(&format!("{}_step", net.cell()), &net.size, |peer, usual| {
                let rows: Vec<&[f32]> = net.x.chunks(net.shape().input()).collect();
                let mut stream = peer.stream(&net)?;
                let (y, ahead) = answers(stream.as_mut(), &rows);
                let error = check(&y, &peer.truth(&net))?;
                let ns = if ahead { None } else { Some(usual(&mut |calls| stream.steps(&rows, calls))) };
                Ok(Outcome::Timed { error, ns, tail: Some(timing::tail(stream.as_mut(), &rows)) })
            });
        }
    }

    /// Many streams of one network, all with the same x; the time is that of one of them.
    fn streams(&mut self) {
        let nets = Net::streams();
        let Some(net) = nets.iter().find(|net| net.name() == "lstm_H32") else { return };
        self.each(&format!("{}_streams", net.cell()), &format!("N{STREAMS}_{}", net.size), |peer, usual| {
            let mut step = peer.streams(net, STREAMS)?;
            let rows: Vec<Vec<f32>> = net.x.iter().map(|&x| vec![x; STREAMS]).collect();
            let y: Vec<f32> = rows.iter().flat_map(|x| step(x)).collect();
            let truth: Vec<f64> = net.y.iter().flat_map(|&y| [y; STREAMS]).collect();
            let error = check(&y, &truth)?;
            let ns = usual(&mut |calls| {
                for (_, x) in (0..calls).zip(rows.iter().cycle()) {
                    black_box(step(x));
                }
            });
            Ok(Outcome::Timed { error, ns: Some(ns / STREAMS as f64), tail: None })
        });
    }

    fn forward(&mut self) {
        let (net, threads) = (Net::forward(), self.options.threads);
        self.each(&format!("{}_forward", net.cell()), &net.size, |peer, usual| {
            let mut forward = peer.forward(&net, threads)?;
            let error = check(&forward(), &net.y)?;
            let ns = usual(&mut |calls| (0..calls).for_each(|_| drop(black_box(forward()))));
            Ok(Outcome::Timed { error, ns: Some(ns), tail: None })
        });
    }

    fn training(&mut self) {
        let (net, threads) = (Net::training(), self.options.threads);
        self.each(&format!("{}_train", net.cell()), &net.size, |peer, usual| {
            let mut step = peer.training(&net, threads)?;
            let error = check_loss(step(), net.loss())?;
            let ns = usual(&mut |calls| {
                for _ in 0..calls {
                    black_box(step());
                }
            });
            Ok(Outcome::Timed { error, ns: Some(ns), tail: None })
        });
    }

    fn lesson(&mut self) {
        let net = Net::lesson();
        self.each("rnn_train", &net.size, |peer, usual| {
            let mut lesson = peer.lesson(&net)?;
            let losses = lesson();
            let error = check_loss(losses[0], net.loss())?;
            if losses[LESSON_STEPS - 1] > LEARNT {
                return Err(format!("the last loss is {}, nothing was learnt", losses[LESSON_STEPS - 1]).into());
            }
            let ns = usual(&mut |calls| {
                for _ in 0..calls {
                    black_box(lesson());
                }
            });
            Ok(Outcome::Timed { error, ns: Some(ns), tail: None })
        });
    }
}

/// What the stream answers to `rows`, and whether it works ahead between them.
fn answers(stream: &mut dyn Stream, rows: &[&[f32]]) -> (Vec<f32>, bool) {
    let mut ahead = false;
    let mut answer = |x: &&[f32]| {
        let y = stream.step(x);
        ahead |= stream.between();
        y
    };
    let y = rows.iter().map(&mut answer).collect();
    (y, ahead)
}

fn main() {
    let options = Options::from_env();
    let criterion = timing::criterion(options.quick).configure_from_args();
    let mut run = Run { criterion, options, peers: all() };
    // with more than one thread only what has enough work for two
    if run.options.threads == 1 {
        run.steps();
        run.streams();
        run.lesson();
    }
    run.forward();
    run.training();
    run.criterion.final_summary();
}

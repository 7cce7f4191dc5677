//! nexus-inference: small networks for an event loop, stepped in place.

use crate::nets::{LESSON_STEPS, Net};
use crate::peer::{Peer, Result, Stream};
use nexus_inference::{StackedGru, StackedLstm, TinyGru, TinyLstm};
use rnnstep::CellKind;

pub struct Nexus;

impl Peer for Nexus {
    fn name(&self) -> &'static str {
        "nexus-inference"
    }

    fn stream(&self, net: &Net) -> Result<Box<dyn Stream>> {
        let (shape, tensors) = (net.shape(), net.tensors());
        let data: Vec<&[f32]> = tensors.iter().map(|tensor| tensor.data()).collect();
        let (input, hidden) = (shape.input(), shape.hidden());
        Ok(match (shape.cell(), data.as_slice()) {
            (CellKind::Rnn, _) => return Err("no Elman RNN".into()),
            (CellKind::Lstm, &[w, u, b, c, head, bias]) => {
                let mut net = TinyLstm::from_parts(input, hidden, 1, w, u, b, c, head, bias)?;
                Box::new(move |x: &[f32]| net.predict(x))
            }
            (CellKind::Gru, &[w, u, b, c, head, bias]) => {
                let mut net = TinyGru::from_parts(input, hidden, 1, w, u, b, c, head, bias)?;
                Box::new(move |x: &[f32]| net.predict(x))
            }
            (CellKind::Lstm | CellKind::Gru, data) => {
                let of_layers =
                    |i: usize| data.iter().copied().skip(i).step_by(4).take(shape.layers()).collect::<Vec<_>>();
                let [w, u, b, c] = [0, 1, 2, 3].map(of_layers);
                let (head, bias) = (data[4 * shape.layers()], data[4 * shape.layers() + 1]);
                if shape.cell() == CellKind::Lstm {
                    let mut net = StackedLstm::from_parts(input, hidden, 1, &w, &u, &b, &c, head, bias)?;
                    Box::new(move |x: &[f32]| net.predict(x))
                } else {
                    let mut net = StackedGru::from_parts(input, hidden, 1, &w, &u, &b, &c, head, bias)?;
                    Box::new(move |x: &[f32]| net.predict(x))
                }
            }
            _ => return Err("no such cell".into()),
        })
    }

    fn forward(&self, _net: &Net, _threads: usize) -> Result<Box<dyn FnMut() -> Vec<f32>>> {
        Err("no batches".into())
    }

    fn training(&self, _net: &Net, _threads: usize) -> Result<Box<dyn FnMut() -> f32>> {
        Err("no training".into())
    }

    fn lesson(&self, _net: &Net) -> Result<Box<dyn FnMut() -> [f32; LESSON_STEPS]>> {
        Err("no training".into())
    }
}

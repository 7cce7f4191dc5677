//! The peers, a file each.

#[cfg(feature = "burn")]
mod burn;
#[cfg(feature = "candle")]
mod candle;
#[cfg(feature = "nexus")]
mod nexus;
#[cfg(any(feature = "ort", feature = "tract"))]
mod onnx;
#[cfg(feature = "ort")]
mod ort;
mod rnnstep;
#[cfg(feature = "tract")]
mod tract;

use crate::peer::Peer;

/// Every peer that was compiled in, rnnstep first.
pub fn all() -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(rnnstep::Usual),
        Box::new(rnnstep::Ahead),
        Box::new(rnnstep::Small(::rnnstep::Weights::Bf16)),
        Box::new(rnnstep::Small(::rnnstep::Weights::F16)),
        Box::new(rnnstep::Small(::rnnstep::Weights::Int8)),
        #[cfg(feature = "nexus")]
        Box::new(nexus::Nexus),
        #[cfg(feature = "ort")]
        Box::new(ort::OnnxRuntime),
        #[cfg(feature = "tract")]
        Box::new(tract::Tract),
        #[cfg(feature = "candle")]
        Box::new(candle::Candle),
        #[cfg(feature = "burn")]
        Box::new(burn::Burn),
    ]
}

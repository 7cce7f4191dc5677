//! Instruction sets by name, and the errors for those that are unknown or missing.

use crate::error::{DeviceErrorKind, Error, Result};
use crate::simd::isa::{Cpu, Isa};
use crate::simd::lanes::{LANES, Lanes, Pass};
use alloc::{format, string::String, vec::Vec};
use core::str::FromStr;

impl Isa {
    /// Those that this processor has, the widest last.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_available()).collect()
    }
}

impl FromStr for Isa {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|isa| isa.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|isa| isa.name()).collect();
            Error::device(
                DeviceErrorKind::NoDevice,
                format!("instruction set {name:?}: not one of {}", known.join(", ")),
            )
        })
    }
}

impl Cpu {
    /// The instruction set that the environment variable `RNNSTEP_ISA` names, else the widest.
    ///
    /// # Errors
    /// If the variable names one that does not exist or that this processor lacks.
    #[cfg(feature = "std")]
    pub fn detect() -> Result<Self> {
        match std::env::var("RNNSTEP_ISA") {
            Ok(name) if !name.is_empty() => {
                let cpu = name.parse().and_then(Self::new);
                cpu.map_err(|error| Error::device(DeviceErrorKind::NoDevice, format!("RNNSTEP_ISA: {error}")))
            }
            _ => Ok(Self::widest()),
        }
    }

    /// A given instruction set.
    ///
    /// # Errors
    /// If this processor does not have it.
    pub fn new(isa: Isa) -> Result<Self> {
        if isa.is_available() {
            return Ok(Self { isa });
        }
        let here: Vec<String> = Isa::available().iter().map(|isa| isa.name().into()).collect();
        Err(Error::device(
            DeviceErrorKind::NoDevice,
            format!("instruction set {}: this processor does not have it; it has {}", isa.name(), here.join(", ")),
        ))
    }

    /// tanh and sigmoid of every value, as the cells compute them.
    pub fn activations(self, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (mut tanh, mut sigmoid) = (x.to_vec(), x.to_vec());
        for at in (0..x.len()).step_by(LANES) {
            let mut lanes = [0.0; LANES];
            let n = (x.len() - at).min(lanes.len());
            lanes[..n].copy_from_slice(&x[at..at + n]);
            // SAFETY: it reads and writes nothing but its own fields.
            let (t, s) = unsafe { self.run(Activations(lanes)) };
            tanh[at..at + n].copy_from_slice(&t[..n]);
            sigmoid[at..at + n].copy_from_slice(&s[..n]);
        }
        (tanh, sigmoid)
    }
}

/// tanh and sigmoid of sixteen values.
struct Activations([f32; LANES]);

impl Pass for Activations {
    type Output = ([f32; LANES], [f32; LANES]);

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) -> Self::Output {
        let (mut tanh, mut sigmoid) = (self.0, self.0);
        // SAFETY: arrays of sixteen; the instruction set is the caller's promise.
        unsafe {
            let x = V::load(self.0.as_ptr());
            crate::simd::math::tanh(x).store(tanh.as_mut_ptr());
            crate::simd::math::sigmoid(x).store(sigmoid.as_mut_ptr());
        }
        (tanh, sigmoid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_set_that_is_not_there_is_a_device_that_is_not_there() {
        let missing = Isa::ALL.into_iter().find(|isa| !isa.is_available()).map(|isa| Cpu::new(isa).unwrap_err());
        for error in missing.into_iter().chain(["mmx".parse::<Isa>().unwrap_err()]) {
            assert!(matches!(error, Error::Device { kind: DeviceErrorKind::NoDevice, .. }), "{error}");
        }
    }
}

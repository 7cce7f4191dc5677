//! tanh and sigmoid keep the promised relative error, limits and symmetry, with the same bits on
//! every instruction set.

use crate::golden::Case;
use rnnstep::{Cpu, Isa};

/// What the documentation promises, for results that are not subnormal.
const RELATIVE: f64 = 3.5e-7;

#[test]
fn within_the_promised_error() {
    let case = Case::read(&crate::golden::golden_folder().join("act.safetensors"));
    let x = case.tensor("x");
    for isa in Isa::available() {
        let (tanh, sigmoid) = Cpu::new(isa).unwrap().activations(x.data());
        for (name, found) in [("tanh", tanh), ("sigmoid", sigmoid)] {
            for ((&x, &found), &truth) in x.data().iter().zip(&found).zip(case.f64s(name)) {
                let step = f64::from(f32::from_bits(1)); // between neighbouring subnormals
                let error = (f64::from(found) - truth).abs();
                let fits = error <= RELATIVE * truth.abs() || error <= step || (found.is_nan() && truth.is_nan());
                assert!(fits, "{isa:?}: {name}({x:e}) = {found:e}, should be {truth:e}");
            }
        }
    }
}

#[test]
fn limits() {
    let x = [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 9.18, -9.18, 0.0, -0.0, 1e-45, f32::NAN];
    for isa in Isa::available() {
        let (tanh, sigmoid) = Cpu::new(isa).unwrap().activations(&x);
        assert_eq!(tanh[..9], [1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 0.0, -0.0, 1e-45], "{isa:?}");
        assert!(tanh[7].is_sign_negative() && tanh[9].is_nan());
        assert_eq!(sigmoid[..4], [1.0, 0.0, 1.0, 0.0], "{isa:?}");
        assert_eq!(sigmoid[6..8], [0.5, 0.5]);
        assert!(sigmoid[9].is_nan());
    }
}

/// A walk over the whole range of f32: every 257th number is enough to find a bad region.
#[test]
fn whole_range_on_every_instruction_set() {
    let x: Vec<f32> = (0..=u32::MAX / 2557).map(|i| f32::from_bits(i * 2557)).collect();
    let cpu = Cpu::widest();
    let (tanh, sigmoid) = cpu.activations(&x);
    for ((&x, &t), &s) in x.iter().zip(&tanh).zip(&sigmoid) {
        if x.is_nan() {
            assert!(t.is_nan() && s.is_nan());
            continue;
        }
        let truth = f64::from(x).tanh();
        assert!(
            (f64::from(t) - truth).abs() <= RELATIVE * truth.abs() + 1.5e-45 && t.abs() <= 1.0,
            "tanh({x:e}) = {t:e}"
        );
        let truth = 1.0 / (1.0 + (-f64::from(x)).exp());
        assert!(
            (f64::from(s) - truth).abs() <= RELATIVE * truth + 1.5e-45 && (0.0..=1.0).contains(&s),
            "sigmoid({x:e}) = {s:e}"
        );
    }
    for isa in Isa::available() {
        let (t, s) = Cpu::new(isa).unwrap().activations(&x);
        let bits = |a: &[f32]| a.iter().map(|v| if v.is_nan() { 0 } else { v.to_bits() }).collect::<Vec<_>>();
        assert!(bits(&t) == bits(&tanh) && bits(&s) == bits(&sigmoid), "{isa:?} differs from {:?}", cpu.isa());
    }
}

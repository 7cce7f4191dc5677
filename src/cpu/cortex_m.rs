//! The fused multiply-add of a Cortex-M with a floating-point unit, which the compiler knows of only with `std`. In assembler,
//! because Rust has no registers for a unit of single precision alone.

use crate::lanes::LANES;

core::arch::global_asm!(
    ".fpu fpv4-sp-d16",
    ".thumb_func",
    ".type rnnstep_fused, %function",
    "rnnstep_fused:",
    ".rept 4",
    "vldmia r0!, {{s0-s3}}",
    "vldmia r1!, {{s4-s7}}",
    "vldmia r2!, {{s8-s11}}",
    "vfma.f32 s8, s0, s4",
    "vfma.f32 s9, s1, s5",
    "vfma.f32 s10, s2, s6",
    "vfma.f32 s11, s3, s7",
    "vstmia r3!, {{s8-s11}}",
    ".endr",
    "bx lr",
);

unsafe extern "C" {
    /// `out = a · b + c`, sixteen values each.
    fn rnnstep_fused(a: *const f32, b: *const f32, c: *const f32, out: *mut f32);
}

/// `a · b + c` lane by lane, each rounded once.
#[inline(always)]
pub fn fused(a: &[f32; LANES], b: &[f32; LANES], c: &[f32; LANES]) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    // SAFETY: sixteen values each.
    unsafe { rnnstep_fused(a.as_ptr(), b.as_ptr(), c.as_ptr(), out.as_mut_ptr()) };
    out
}

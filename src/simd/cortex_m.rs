//! The fused multiply-add of a Cortex-M with a floating-point unit, which the compiler knows of only with `std`. It is
//! in assembler, because Rust has no registers for a unit of single precision alone.

use crate::simd::lanes::LANES;
use core::arch::naked_asm;

/// `out = a · b + c`, sixteen values each. For the linker it is an ordinary function with a name of this crate. So
/// callers find it even if they are inlined into another codegen unit.
///
/// # Safety
/// Three arrays to read and one to write, of sixteen values each.
#[unsafe(naked)]
unsafe extern "C" fn fused_sixteen(a: *const f32, b: *const f32, c: *const f32, out: *mut f32) {
    naked_asm!(
        ".fpu fpv4-sp-d16",
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
    )
}

/// `a · b + c` lane by lane, each rounded once.
#[inline(always)]
pub fn fused(a: &[f32; LANES], b: &[f32; LANES], c: &[f32; LANES]) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    // SAFETY: sixteen values each.
    unsafe { fused_sixteen(a.as_ptr(), b.as_ptr(), c.as_ptr(), out.as_mut_ptr()) };
    out
}

//! Two calls of ARM's semihosting: text out, and the end. "Semihosting for AArch32 and AArch64", ARM's ABI, 2.2 and 6.

use core::arch::asm;

const WRITE0: usize = 0x04;
const EXIT: usize = 0x18;
/// `ADP_Stopped_ApplicationExit`: ended well.
const APPLICATION_EXIT: usize = 0x20026;
/// `ADP_Stopped_RunTimeErrorUnknown`: did not.
const RUN_TIME_ERROR: usize = 0x20023;

/// # Safety
/// `argument` is what the call asks for.
#[cfg(target_arch = "arm")]
unsafe fn call(operation: usize, argument: usize) {
    // SAFETY: a debugger or an emulator answers; it changes r0 alone.
    unsafe { asm!("bkpt 0xab", inout("r0") operation => _, in("r1") argument) }
}

/// # Safety
/// `argument` is what the call asks for.
#[cfg(target_arch = "aarch64")]
unsafe fn call(operation: usize, argument: usize) {
    // SAFETY: a debugger or an emulator answers; it changes x0 alone.
    unsafe { asm!("hlt 0xf000", inout("x0") operation => _, in("x1") argument) }
}

/// A text that ends with a zero.
pub fn say(text: &'static str) {
    // SAFETY: the address of a text that ends with a zero, as all of them here do.
    unsafe { call(WRITE0, text.as_ptr() as usize) }
}

/// The end.
pub fn exit(well: bool) -> ! {
    let reason = if well { APPLICATION_EXIT } else { RUN_TIME_ERROR };
    // 64-bit processors have the reason and a code in memory, 32-bit ones the reason itself
    let block = [reason, if well { 0 } else { 1 }];
    let argument = if cfg!(target_arch = "arm") { reason } else { block.as_ptr() as usize };
    loop {
        // SAFETY: as the call asks for; it does not come back.
        unsafe { call(EXIT, argument) }
    }
}

//! What a kernel takes of a multiprocessor, read from the assembler's log.

/// What the assembler reports about one kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    /// The kernel's name.
    pub kernel: String,
    /// 32-bit registers of a thread.
    pub registers: u32,
    /// Bytes that a thread stores to memory, and loads from it, because registers ran out.
    pub spill_bytes: u32,
    /// Bytes of a thread's stack: spills, and arrays whose index is not known to the compiler.
    pub stack_bytes: u32,
    /// Bytes of shared memory of a block that the kernel declares itself.
    pub shared_bytes: u32,
}

/// The kernels in a log of `--ptxas-options=-v`, in its order. NVRTC 11.8 to 13.2 use the same words.
pub(in crate::cuda) fn read(log: &str) -> Vec<Usage> {
    let mut kernels: Vec<Usage> = Vec::new();
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            let kernel = rest.split('\'').next().unwrap_or(rest).to_string();
            kernels.push(Usage { kernel, ..Usage::default() });
        } else if let Some(kernel) = kernels.last_mut() {
            // a function that was not inlined has a line of its own and counts for the kernel that calls it
            kernel.stack_bytes += before(line, " bytes stack frame");
            kernel.spill_bytes += before(line, " bytes spill stores") + before(line, " bytes spill loads");
            if line.contains("Used ") {
                kernel.registers = before(line, " registers");
                kernel.shared_bytes = before(line, " bytes smem");
            }
        }
    }
    kernels
}

/// The number in front of `words`; 0 if they are not in the line.
fn before(line: &str, words: &str) -> u32 {
    let Some((head, _)) = line.split_once(words) else { return 0 };
    let digits = head.len() - head.bytes().rev().take_while(u8::is_ascii_digit).count();
    head[digits..].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_log() {
        let log = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'wide' for 'sm_87'
ptxas info    : Function properties for wide
ptxas         .     64 bytes stack frame, 104 bytes spill stores, 120 bytes spill loads
ptxas info    : Used 64 registers, used 0 barriers, 64 bytes cumulative stack size, 364 bytes cmem[0]
ptxas info    : Compile time = 9.969 ms
ptxas info    : Compiling entry function 'small' for 'sm_87'
ptxas info    : Function properties for small
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 9 registers, 256 bytes smem, 360 bytes cmem[0]
";
        let wide = Usage { kernel: "wide".into(), registers: 64, spill_bytes: 224, stack_bytes: 64, shared_bytes: 0 };
        let small = Usage { kernel: "small".into(), registers: 9, spill_bytes: 0, stack_bytes: 0, shared_bytes: 256 };
        assert_eq!(read(log), [wide, small]);
        assert_eq!(read("no log at all\n"), []);
    }
}

//! Real-time safety, counted by an allocator and by the kernel: after `warm_up` a step, its halves and a step of many on one
//! thread allocate nothing, meet no page fault, never wait, and make no system call at all.
//!
//! Every check runs in a process of its own, this very program again, in which nothing else happens. And every check is
//! shown to fail: by steps with an allocation, a fault, a wait, a contended lock, a system call, a line of output planted
//! among them.
//!
//! The kernel's part is written for Linux on x86-64 and 64-bit ARM; elsewhere the test says that it is left out.

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod linux;

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[test]
fn nothing_is_checked_here() {
    eprintln!("skipped: faults and system calls are counted by Linux on x86-64 and 64-bit ARM only");
}

/// Locks that nobody else holds make no system call, so the kernel does not see them. What a step calls lies in these
/// places, and they name nothing that locks or waits; `cpu/threads.rs`, which does, hands a step on one thread straight
/// through.
#[test]
fn what_a_step_calls_names_no_lock() {
    const PLACES: [&str; 14] = [
        "cell",
        "cpu",
        "device.rs",
        "error.rs",
        "model/fixed.rs",
        "model/mod.rs",
        "model/network.rs",
        "model/stream.rs",
        "model/streams.rs",
        "net",
        "simd/lanes.rs",
        "simd/math.rs",
        "tensor.rs",
        "units",
    ];
    const WORDS: [&str; 17] = [
        "Mutex",
        "RwLock",
        "ReentrantLock",
        "Once",
        "OnceLock",
        "LazyLock",
        "OnceCell",
        "Condvar",
        "Barrier",
        "mpsc",
        "channel",
        "thread_local",
        "park",
        "sleep",
        "yield_now",
        "spin_loop",
        "rayon",
    ];
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut left: Vec<_> = PLACES.iter().map(|place| source.join(place)).collect();
    let (mut files, mut seen) = (0, false);
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        files += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
        let word = code.split(|c: char| !c.is_alphanumeric() && c != '_').find(|word| WORDS.contains(word));
        if path.ends_with("cpu/threads.rs") {
            seen = word.is_some();
        } else {
            assert!(word.is_none(), "{}: a step may not meet {}", path.display(), word.unwrap_or_default());
        }
    }
    assert!(files > 20 && seen, "how words are looked for no longer fits the code: {files} files");
}

//! The checks of real-time safety, with what Linux counts and forbids.

use crate::counting;
use rnnstep::cpu::Threads;
use rnnstep::units::scaler::Scaling;
use rnnstep::{CellKind, Cpu, Handle, Isa, Model, Nonlinearity, Scaler, Shape, Stream, Streams, Weights};
use std::cell::Cell;
use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What happened on this thread so far, in the order of [`KINDS`].
type Counts = [i64; 4];

const KINDS: [&str; 4] = ["allocations", "minor page faults", "major page faults", "waits"];

fn counts() -> Counts {
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: room for what it writes.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) }, 0);
    [counting::so_far() as i64, usage.ru_minflt as i64, usage.ru_majflt as i64, usage.ru_nvcsw as i64]
}

/// Leaves this thread one system call, that which ends the process: any other ends it with SIGSYS. A filter, since a
/// container has one already and the strict mode is then not to be had.
fn forbid_system_calls() -> std::io::Result<()> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let line = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    let mut lines = [
        line(LOAD, 0, std::mem::offset_of!(libc::seccomp_data, nr) as u32),
        line(IF_EQUAL, 1, libc::SYS_exit_group as u32),
        line(RETURN, 0, libc::SECCOMP_RET_ALLOW),
        line(RETURN, 0, libc::SECCOMP_RET_KILL_PROCESS),
    ];
    let program = libc::sock_fprog { len: lines.len() as u16, filter: lines.as_mut_ptr() };
    // SAFETY: the program is read during the call.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Something to step, and where it finds its values.
enum Steps {
    One(Box<Stream>),
    Many(Box<Streams>, Vec<Handle>, Vec<f32>, Vec<f32>),
}

struct Case {
    name: String,
    steps: Steps,
    calls: usize,
}

const STREAMS: usize = 100;

fn any_stream() -> Stream {
    Stream::on(
        Cpu::new(Isa::Portable).unwrap(),
        Model::random(Shape::new(CellKind::Rnn, 1, 1, 1, 1).unwrap(), 1).unwrap(),
    )
    .unwrap()
}

/// How long a case may take, in multiplications: enough for 10^5 steps of a small network.
fn multiplications(isa: Isa) -> usize {
    if isa == Isa::Portable { 2_000_000 } else { 100_000_000 }
}

/// All cells, three sizes (of less than a vector, of vectors and a part of one, of more than the second cache), every
/// format of weights, every instruction set; single streams and many. The first `most` of them, or one more.
fn cases(most: usize) -> Vec<Case> {
    let mut cases = vec![];
    let cells = CellKind::ALL.map(|cell| (cell, Nonlinearity::Tanh));
    for (cell, nonlinearity) in cells.into_iter().chain([(CellKind::Rnn, Nonlinearity::Relu)]) {
        for (input, hidden, layers, output) in [(1, 8, 1, Some(1)), (3, 33, 2, None), (1, 256, 2, Some(5))] {
            for weights in Weights::ALL {
                let shape = Shape::new(cell, input, hidden, layers, 1)
                    .unwrap()
                    .with_nonlinearity(nonlinearity)
                    .unwrap()
                    .with_output(output)
                    .unwrap();
                let model = Model::random(shape, 1).unwrap().with_weights(weights).unwrap();
                // the smallest with scalers, all as wide as one column
                let model = if hidden == 8 {
                    let scaler = || Scaler::fit(Scaling::Standard, &[0.5, -1.0, 2.0], 1).unwrap();
                    model.with_scalers(scaler(), scaler()).unwrap()
                } else {
                    model
                };
                for isa in Isa::available() {
                    if cases.len() >= most {
                        return cases;
                    }
                    let (cpu, name) = (Cpu::new(isa).unwrap(), isa.name());
                    let name = |what| format!("{what} {} {nonlinearity:?} H {hidden} {weights} {name}", cell.name());
                    let of_a_step = layers * shape.gates() * hidden * 2 * hidden;
                    let calls = (multiplications(isa) / of_a_step).clamp(50, 100_000);
                    let stream = Box::new(Stream::on(cpu, model.clone()).unwrap());
                    cases.push(Case { name: name("stream"), steps: Steps::One(stream), calls });
                    if isa == Isa::Portable && hidden > 100 {
                        continue;
                    }
                    let mut streams = Streams::new(model.clone(), cpu, Threads::default(), STREAMS).unwrap();
                    let handles = (0..STREAMS / 2).map(|_| streams.open().unwrap()).collect();
                    let room = |width: usize| vec![0.5; STREAMS * width];
                    let steps = Steps::Many(Box::new(streams), handles, room(input), room(shape.width_out()));
                    cases.push(Case { name: name("streams"), steps, calls: (calls / STREAMS * 2).max(4) });
                }
            }
        }
    }
    cases
}

impl Case {
    /// The call under test, `planted` among the others once; whether anything was an error.
    fn run(&mut self, planted: Option<fn()>) -> bool {
        let mut failed = false;
        for call in 0..self.calls {
            if call == self.calls / 2
                && let Some(planted) = planted
            {
                planted();
            }
            match &mut self.steps {
                Steps::One(stream) => {
                    let x = &[call as f32 * 0.01, -0.5, 0.25][..stream.model().shape().input()];
                    if call % 3 == 2 {
                        stream.advance();
                    }
                    failed |= stream.step(x).map(|y| black_box(y).len()).is_err();
                }
                Steps::Many(streams, handles, x, y) => {
                    let shape = *streams.model().shape();
                    let n = [STREAMS, 1, 7, 48][call % 4];
                    let (x, y) = (&x[..n * shape.input()], &mut y[..n * shape.width_out()]);
                    failed |= streams.step_many(&handles[..n], x, y).is_err();
                    failed |= streams.step(handles[n - 1], &x[..shape.input()]).map(|y| black_box(y).len()).is_err();
                }
            }
        }
        failed
    }

    fn warm_up(&mut self) {
        match &mut self.steps {
            Steps::One(stream) => stream.warm_up(),
            Steps::Many(streams, ..) => streams.warm_up(),
        }
    }

    /// Half of the streams are opened after [`Case::warm_up`].
    fn open_the_rest(&mut self) {
        if let Steps::Many(streams, handles, ..) = &mut self.steps {
            handles.extend((handles.len()..STREAMS).map(|_| streams.open().unwrap()));
        }
    }
}

/// Somebody else's lock, held until somebody waits for it.
static LOCK: Mutex<()> = Mutex::new(());
static WANTED: AtomicBool = AtomicBool::new(false);

fn hold_the_lock() {
    let holder = || {
        let _guard = LOCK.lock();
        HELD.store(true, Ordering::Release);
        while !WANTED.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    std::thread::spawn(holder);
    while !HELD.load(Ordering::Acquire) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

static HELD: AtomicBool = AtomicBool::new(false);

fn allocation() {
    drop(black_box(vec![1_u8; 100]));
}

/// A page that was never touched; it was taken before anything is counted.
fn page_fault() {
    FRESH.with(|fresh| {
        // SAFETY: a page of the map, which nobody else uses.
        unsafe { fresh.get().cast::<u8>().add(4096).write_volatile(1) }
    });
}

thread_local! {
    static FRESH: Cell<*mut libc::c_void> = const { Cell::new(std::ptr::null_mut()) };
}

fn take_a_fresh_page() {
    let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new map; it is never given back.
    let map = unsafe { libc::mmap(std::ptr::null_mut(), 1 << 16, access, flags, -1, 0) };
    assert!(map != libc::MAP_FAILED);
    FRESH.set(map);
}

fn wait() {
    std::thread::sleep(Duration::from_millis(1));
}

fn contended_lock() {
    WANTED.store(true, Ordering::Release);
    drop(LOCK.lock());
}

fn system_call() {
    // SAFETY: it asks who started the process.
    black_box(unsafe { libc::getppid() });
}

fn output() {
    eprintln!("a step has something to say");
}

/// Something planted among the steps, and what has to be seen of it.
struct Planted {
    name: &'static str,
    plant: fn(),
    /// Which of [`KINDS`], if any.
    kind: Option<usize>,
    /// Whether it is a system call.
    system_call: bool,
}

const PLANTED: [Planted; 6] = [
    Planted { name: "allocation", plant: allocation, kind: Some(0), system_call: false },
    Planted { name: "page fault", plant: page_fault, kind: Some(1), system_call: false },
    Planted { name: "wait", plant: wait, kind: Some(3), system_call: true },
    Planted { name: "contended lock", plant: contended_lock, kind: Some(3), system_call: true },
    Planted { name: "system call", plant: system_call, kind: None, system_call: true },
    Planted { name: "output", plant: output, kind: None, system_call: true },
];

/// In the place of something planted: no `warm_up`.
const COLD: &str = "no warm-up";

/// Which check a child process is for, and what is planted in it.
const CHECK: &str = "RNNSTEP_TEST_REALTIME";

/// Exit codes of a child: those of the standard library and of the test harness are others.
const CLEAN: i32 = 40;
const SEEN: i32 = 41;
const UNABLE: i32 = 42;

/// One check in a process of its own, which is `test`, the test that asks, again: how it ended, and what it said.
fn in_a_process(test: &str, check: &str, planted: &str) -> (std::process::ExitStatus, String) {
    if let Ok(asked) = std::env::var(CHECK) {
        let (check, planted) = asked.split_once(':').unwrap();
        run_check(check, planted); // this is that process
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&format!("realtime::linux::{test}"), "--exact", "--nocapture", "--test-threads=1"]);
    let output = command.env(CHECK, format!("{check}:{planted}")).output().unwrap();
    (output.status, String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// The check, and the end of this process.
fn run_check(check: &str, planted: &str) -> ! {
    let warm = planted != COLD;
    let planted = PLANTED.iter().find(|planting| planting.name == planted).map(|planting| planting.plant);
    // a stream and streams are enough to plant something
    let mut cases = cases(if planted.is_some() { 2 } else { usize::MAX });
    take_a_fresh_page();
    hold_the_lock();
    // what is the test's own brings its pages before anything counts
    counts();
    Case { name: String::new(), steps: Steps::One(Box::new(any_stream())), calls: 3 }.run(None);
    match check {
        "counters" => count(&mut cases, planted, warm),
        "system calls" => run_without_system_calls(&mut cases, planted),
        other => panic!("{other}?"),
    }
}

fn count(cases: &mut [Case], planted: Option<fn()>, warm: bool) -> ! {
    let mut clean = true;
    for case in cases {
        if warm {
            case.warm_up();
        }
        case.open_the_rest();
        let before = counts();
        let failed = case.run(planted);
        let after = counts();
        assert!(!failed, "{}", case.name);
        for ((kind, before), after) in KINDS.iter().zip(before).zip(after) {
            if before != after {
                println!("{}: {} {kind} in {} calls", case.name, after - before, case.calls);
                clean = false;
            }
        }
    }
    std::process::exit(if clean { CLEAN } else { SEEN })
}

fn run_without_system_calls(cases: &mut [Case], planted: Option<fn()>) -> ! {
    cases.iter_mut().for_each(Case::open_the_rest);
    if let Err(error) = forbid_system_calls() {
        println!("no filter for system calls: {error}");
        std::process::exit(UNABLE);
    }
    let failed = cases.iter_mut().fold(false, |failed, case| failed | case.run(planted));
    // SAFETY: it ends the process, which is the one system call left.
    unsafe { libc::_exit(if failed { 1 } else { CLEAN }) }
}

#[test]
fn no_allocation_no_page_fault_and_no_wait() {
    let (status, said) = in_a_process("no_allocation_no_page_fault_and_no_wait", "counters", "nothing");
    assert_eq!(status.code(), Some(CLEAN), "{said}");
}

#[test]
fn the_counters_see_what_they_are_for() {
    for Planted { name, kind, .. } in PLANTED {
        let Some(kind) = kind else { continue };
        let (status, said) = in_a_process("the_counters_see_what_they_are_for", "counters", name);
        assert_eq!(status.code(), Some(SEEN), "{name}: {said}");
        assert!(said.contains(KINDS[kind]), "{name}: {said}");
    }
}

#[test]
fn without_warm_up_there_are_page_faults() {
    let (status, said) = in_a_process("without_warm_up_there_are_page_faults", "counters", COLD);
    assert_eq!(status.code(), Some(SEEN), "{said}");
    assert!(said.contains(KINDS[1]) && !said.contains(KINDS[0]), "{said}");
}

#[test]
fn no_system_call() {
    let (status, said) = in_a_process("no_system_call", "system calls", "nothing");
    if status.code() == Some(UNABLE) {
        return eprintln!("skipped: {said}");
    }
    assert_eq!(status.code(), Some(CLEAN), "signal {:?}, SIGSYS is {}: {said}", status.signal(), libc::SIGSYS);
}

#[test]
fn system_calls_are_seen() {
    for Planted { name, system_call, .. } in PLANTED {
        let (status, said) = in_a_process("system_calls_are_seen", "system calls", name);
        if status.code() == Some(UNABLE) {
            return eprintln!("skipped: {said}");
        }
        let expected = if system_call { (None, Some(libc::SIGSYS)) } else { (Some(CLEAN), None) };
        assert_eq!((status.code(), status.signal()), expected, "{name}: {said}");
    }
}

/// The state after it is that before it, bit for bit, ahead or not; a stream goes on as if nothing had been.
#[test]
fn warm_up_leaves_everything_as_it_was() {
    let bits =
        |values: &[f32]| values.iter().map(|v| if v.is_nan() { u32::MAX } else { v.to_bits() }).collect::<Vec<_>>();
    for cell in CellKind::ALL {
        for (hidden, layers) in [(8, 1), (33, 2)] {
            let model = Model::random(Shape::new(cell, 1, hidden, layers, 1).unwrap(), 1).unwrap();
            for isa in Isa::available() {
                let cpu = Cpu::new(isa).unwrap();
                let on = || Stream::on(cpu, model.clone()).unwrap();
                let (mut warm, mut plain) = (on(), on());
                let mut streams = Streams::new(model.clone(), cpu, Threads::default(), 60).unwrap();
                let handles: Vec<Handle> = (0..60).map(|_| streams.open().unwrap()).collect();
                for step in 0..8 {
                    if step % 3 == 1 {
                        warm.advance();
                    }
                    if step % 2 == 1 {
                        warm.warm_up();
                    } else {
                        warm.ticker::<1, 1>().unwrap().warm_up();
                    }
                    let kept = |stream: &mut Stream| {
                        let state = stream.state().unwrap();
                        (bits(state.h().data()), state.c().map(|c| bits(c.data())))
                    };
                    assert_eq!(kept(&mut warm), kept(&mut plain), "{cell:?} {isa:?}");
                    let x = [if step == 5 { f32::NAN } else { step as f32 * 0.3 }];
                    let y = bits(plain.step(&x).unwrap());
                    assert_eq!(bits(warm.step(&x).unwrap()), y);
                    streams.warm_up();
                    let mut many = [0.0; 60];
                    streams.step_many(&handles, &x.repeat(60), &mut many).unwrap();
                    assert!(bits(&many) == y.repeat(60), "{cell:?} {isa:?}");
                }
            }
        }
    }
}

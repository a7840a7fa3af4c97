//! Compiles the engine with the C compiler of the target: `CC`, or `cc`. No other crate is needed.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Without the first two, bits differ from machine to machine.
const FLAGS: [&str; 9] = [
    "-fno-fast-math",
    "-ffp-contract=off",
    "-fno-trapping-math",
    "-fno-math-errno",
    "-std=gnu11",
    "-O3",
    "-fPIC",
    "-fno-short-enums", // tide_status is a c_int
    "-fvisibility=hidden",
];

fn main() {
    let kernels = Path::new(&env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("kernels");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    let mut files = Vec::new();
    for room in ["src", "operators", "variants"] {
        println!("cargo:rerun-if-changed={}", kernels.join(room).display());
        for source in c_files(&kernels.join(room)) {
            let object = out.join(format!("{}-{}.o", room, source.file_stem().unwrap().to_str().unwrap()));
            files.push((source, object));
        }
    }
    compile(&files, &kernels.join("include"));
    let objects = files.iter().map(|(_, object)| object);
    let library = out.join("libtidegate.a");
    let _ = fs::remove_file(&library);
    run(Command::new(tool("AR", "ar")).arg("crs").arg(&library).args(objects));
    println!("cargo:rerun-if-env-changed=CC");
    println!("cargo:rerun-if-env-changed=AR");
    println!("cargo:include={}", kernels.join("include").display());
    println!("cargo:rustc-link-search=native={}", out.display());
    println!("cargo:rustc-link-lib=static=tidegate");
}

/// Compiles as many files at once as cargo allows jobs: one after another takes over a minute.
fn compile(files: &[(PathBuf, PathBuf)], include: &Path) {
    let jobs: usize = env::var("NUM_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(1);
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((source, object)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut command = Command::new(tool("CC", "cc"));
            command.args(FLAGS).arg("-I").arg(include);
            run(command.arg("-c").arg(source).arg("-o").arg(object));
        }
    };
    thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(work))));
}

fn tool(variable: &str, default: &str) -> OsString {
    env::var_os(variable).unwrap_or_else(|| default.into())
}

fn c_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {}", folder.display(), error));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().map_or(false, |ending| ending == "c"));
    files.sort();
    files
}

fn run(command: &mut Command) {
    match command.status() {
        Ok(status) if status.success() => (),
        Ok(status) => panic!("{:?} ended with {}", command, status),
        Err(error) => panic!("{:?}: {}; a C compiler is needed, set CC and AR to name others", command, error),
    }
}

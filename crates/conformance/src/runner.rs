//! Runs files in parallel.

use core::{any::Any, num::NonZeroUsize};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use polity_engine::Sequential;
use polity_kernel::Scratch;

use crate::{
    Difference, DiscoverError, Execute, Report, chain,
    discover::{Found, discover},
    format::{self, ChainTest, StateTest, Test},
    report::{Case, FileResult, Outcome},
    skip, state,
};

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files done.
    pub done: usize,
    /// Files there are.
    pub files: usize,
    /// Tests passed so far.
    pub passed: usize,
    /// Tests failed so far, those that could not be read among them.
    pub failed: usize,
    /// Tests skipped so far.
    pub skipped: usize,
}

/// How to run.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// How many threads; as many as the machine runs at once if not given.
    pub threads: Option<NonZeroUsize>,
    /// Runs only tests with this in their file's path or their name.
    pub filter: Option<&'a str>,
    /// Makes a thread's engine.
    pub engine: &'a (dyn Fn() -> Box<dyn Execute> + Sync),
    /// Whether the transactions of state tests, which need no engine, are executed by it as well:
    /// in a block of their own, and several times in a row.
    pub state_tests_in_blocks: bool,
    /// Called after each file, by one thread at a time.
    pub progress: Option<&'a (dyn Fn(Progress) + Sync)>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            threads: None,
            filter: None,
            engine: &|| Box::new(Sequential::new()),
            state_tests_in_blocks: false,
            progress: None,
        }
    }
}

/// Runs every test in the files and folders.
///
/// A test that panics has failed; the panic's message is what it found.
///
/// # Errors
/// A path that cannot be searched. A file or test that cannot be read is in the
/// report.
pub fn run(paths: &[PathBuf], options: &Options<'_>) -> Result<Report, DiscoverError> {
    let start = Instant::now();
    let (files, passed_over) = discover(paths)?;
    let threads = options
        .threads
        .or_else(|| thread::available_parallelism().ok())
        .map_or(1, NonZeroUsize::get)
        .min(files.len());
    let next = AtomicUsize::new(0);
    let progress = Mutex::new(Progress { files: files.len(), ..Progress::default() });
    let work = || {
        let mut worker = Worker::new(options);
        let mut results = Vec::new();
        while let Some((at, file)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            files.get(at).map(|file| (at, file))
        } {
            let result = worker.file(file);
            report_progress(&progress, options, &result);
            results.push((at, result));
        }
        results
    };
    let mut results: Vec<(usize, FileResult)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        // A worker's own panic, outside of any test, is passed on.
        workers
            .into_iter()
            .flat_map(|worker| match worker.join() {
                Ok(results) => results,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    results.sort_unstable_by_key(|(at, _)| *at);
    let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Report::new(results.into_iter().map(|(_, result)| result), passed_over, milliseconds))
}

fn report_progress(progress: &Mutex<Progress>, options: &Options<'_>, result: &FileResult) {
    let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
    progress.done += 1;
    progress.failed += result.unreadable.len();
    for case in &result.cases {
        match case.outcome {
            Outcome::Passed => progress.passed += 1,
            Outcome::Failed(_) => progress.failed += 1,
            Outcome::Skipped(_) => progress.skipped += 1,
        }
    }
    if let Some(call) = options.progress {
        call(*progress);
    }
}

/// What a thread keeps from test to test.
struct Worker<'a> {
    options: &'a Options<'a>,
    engine: Box<dyn Execute>,
    scratch: Scratch,
}

impl<'a> Worker<'a> {
    fn new(options: &'a Options<'a>) -> Self {
        Self { options, engine: (options.engine)(), scratch: Scratch::default() }
    }

    fn file(&mut self, found: &Found) -> FileResult {
        let file = found.path.display().to_string();
        let mut result = FileResult { folder: found.folder.clone(), file, ..Default::default() };
        let tests = match format::read(&found.path) {
            Ok(tests) => tests,
            Err(error) => {
                result.unreadable.push(error.to_string());
                return result;
            }
        };
        for (name, test) in tests {
            let filter = self.options.filter;
            if filter.is_some_and(|part| !result.file.contains(part) && !name.contains(part)) {
                continue;
            }
            match test {
                Ok(test) => self.test(&name, &test, &mut result),
                Err(error) => result.unreadable.push(error.to_string()),
            }
        }
        result
    }

    fn test(&mut self, name: &str, test: &Test, result: &mut FileResult) {
        let kind = test.kind();
        let case = |fork: &str, index, outcome| Case {
            test: name.into(),
            kind,
            fork: fork.into(),
            index,
            outcome,
        };
        match test {
            Test::State(test) => {
                for (fork, posts) in &test.post {
                    let skip = skip::reason(fork, &result.file, name);
                    for post in posts {
                        let outcome = match skip {
                            Some(reason) => Outcome::Skipped(reason),
                            None => self.state(test, fork, post),
                        };
                        let index = Some(post.indexes.to_string());
                        result.cases.push(case(fork, index, outcome));
                    }
                }
            }
            Test::Chain(test) => {
                let outcome = match skip::reason(&test.network, &result.file, name) {
                    Some(reason) => Outcome::Skipped(reason),
                    None => self.chain(test),
                };
                result.cases.push(case(&test.network, None, outcome));
            }
        }
    }

    fn state(&mut self, test: &StateTest, fork: &str, post: &format::Post) -> Outcome {
        self.caught(|worker| {
            let Self { options, engine, scratch } = worker;
            let engine: Option<&mut dyn Execute> = match options.state_tests_in_blocks {
                true => Some(&mut **engine),
                false => None,
            };
            state::run(test, fork, post, scratch, engine)
        })
    }

    fn chain(&mut self, test: &ChainTest) -> Outcome {
        self.caught(|worker| chain::run(test, &mut *worker.engine))
    }

    fn caught(&mut self, run: impl FnOnce(&mut Self) -> Result<(), Difference>) -> Outcome {
        // What a panic leaves behind in the worker is thrown away below.
        match catch_unwind(AssertUnwindSafe(|| run(self))) {
            Ok(Ok(())) => Outcome::Passed,
            Ok(Err(difference)) => Outcome::Failed(difference),
            Err(panic) => {
                *self = Self::new(self.options);
                Outcome::Failed(Difference::new("run", "no panic", message(&*panic)))
            }
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").into()
}

//! The tools that Ethereum's and Solana's developers use, from npm and PyPI, at the versions that the
//! folders `e2e` and `e2e/solana` pin. They lie in `POLITY_TOOLS`, or `~/.cache/polity-tools`, and are fetched where they are
//! missing.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

/// The folder with the stories that the tools tell.
pub fn stories() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e")
}

/// The folder with npm's packages, or why there is none.
///
/// # Errors
/// A note why tests that need it are skipped: no npm, an old node, or no network.
pub fn modules() -> Result<PathBuf, String> {
    static MODULES: LazyLock<Result<PathBuf, String>> =
        LazyLock::new(|| npm("npm", "package.json"));
    MODULES.clone()
}

/// The folder with npm's packages for Solana, or why there is none.
///
/// # Errors
/// See [`modules`].
pub fn solana_modules() -> Result<PathBuf, String> {
    static MODULES: LazyLock<Result<PathBuf, String>> =
        LazyLock::new(|| npm("npm-solana", "solana/package.json"));
    MODULES.clone()
}

/// The Python that has the packages of PyPI, or why there is none.
///
/// # Errors
/// A note why tests that need it are skipped: no Python, or no network.
pub fn python() -> Result<PathBuf, String> {
    static PYTHON: LazyLock<Result<PathBuf, String>> =
        LazyLock::new(|| pip("python", "requirements.txt"));
    PYTHON.clone()
}

/// The Python that has the packages of PyPI for Solana, or why there is none.
///
/// # Errors
/// See [`python`].
pub fn solana_python() -> Result<PathBuf, String> {
    static PYTHON: LazyLock<Result<PathBuf, String>> =
        LazyLock::new(|| pip("python-solana", "solana/requirements.txt"));
    PYTHON.clone()
}

/// The path of anvil: what `POLITY_ANVIL` names, or npm's.
///
/// # Errors
/// A note why there is none.
pub fn anvil() -> Result<PathBuf, String> {
    if let Some(path) = env::var_os("POLITY_ANVIL").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
    let processor = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let path = modules()?.join(format!("@foundry-rs/anvil-{system}-{processor}/bin/anvil"));
    if path.exists() { Ok(path) } else { Err("npm has no anvil for this computer".into()) }
}

/// npm's packages of a list.
fn npm(name: &str, list: &str) -> Result<PathBuf, String> {
    let version = said(Command::new("node").arg("--version"))?;
    let major = version.trim_start_matches('v').split('.').next().unwrap_or_default();
    if major.parse().is_ok_and(|major: u32| major < 20) {
        return Err(format!("node is {version}, too old"));
    }
    let folder = fetched(name, list, |folder, _| {
        let install = ["install", "--ignore-scripts", "--no-package-lock", "--no-audit"];
        Command::new("npm").args(install).args(["--no-fund", "--prefix"]).arg(folder).output()
    })?;
    Ok(folder.join("node_modules"))
}

/// The packages of PyPI of a list.
fn pip(name: &str, list: &str) -> Result<PathBuf, String> {
    said(Command::new("python3").arg("--version"))?;
    let folder = fetched(name, list, |folder, list| {
        let install = ["-m", "pip", "install", "--quiet", "--no-input", "--target"];
        let packages = folder.join("packages");
        Command::new("python3").args(install).arg(packages).arg("-r").arg(list).output()
    })?;
    Ok(folder.join("packages"))
}

/// A folder of the cache for what a file of `e2e` lists, filled where it was not or holds another
/// list.
fn fetched(
    name: &str,
    list: &str,
    fetch: impl FnOnce(&Path, &Path) -> io::Result<Output>,
) -> Result<PathBuf, String> {
    let cache = match (env::var_os("POLITY_TOOLS"), env::var_os("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => Path::new(&home).join(".cache/polity-tools"),
        (None, None) => return Err("neither POLITY_TOOLS nor HOME is set".into()),
    };
    let io = |error: io::Error| format!("{}: {error}", cache.display());
    let path = stories().join(list);
    let wanted = fs::read(&path).map_err(io)?;
    let list = Path::new(path.file_name().unwrap_or_default());
    let folder = cache.join(name);
    if fs::read(folder.join(list)).is_ok_and(|held| held == wanted) {
        return Ok(folder);
    }
    // Under another name first, so that what has the name is whole.
    let partial = cache.join(format!("{name}.{}", std::process::id()));
    fs::create_dir_all(&partial).map_err(io)?;
    let list = partial.join(list);
    fs::write(&list, &wanted).map_err(io)?;
    let output = fetch(&partial, &list).map_err(|error| format!("{name}: {error}"))?;
    if !output.status.success() {
        let _ = fs::remove_dir_all(&partial);
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(format!("{name} fetched nothing: {reason}"));
    }
    let old = cache.join(format!("{name}.{}.old", std::process::id()));
    if folder.exists() {
        fs::rename(&folder, &old).map_err(io)?;
        let _ = fs::remove_dir_all(&old);
    }
    match fs::rename(&partial, &folder) {
        // Another process was faster, and fetched the same.
        Err(_) if folder.exists() => fs::remove_dir_all(&partial).map_err(io)?,
        other => other.map_err(io)?,
    }
    Ok(folder)
}

/// What a program says, or that there is none.
fn said(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(output) => Err(format!("{program} does not run: {}", output.status)),
        Err(error) => Err(format!("{program} does not run: {error}")),
    }
}

//! Compiled contracts from npm packages.
//!
//! The packages' licences forbid or complicate shipping them, so they are fetched when they are
//! first needed, by `npm` and from whichever registry it is configured for, into
//! `$POLITY_CACHE/npm` (by default `~/.cache/polity/npm`). Their versions are fixed, and nothing of
//! them is executed but the contracts, by the Ethereum machine.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use alloy_primitives::{Bytes, hex};

/// The variable that names the folder for what is fetched or built once.
pub const CACHE_VARIABLE: &str = "POLITY_CACHE";

/// The packages, and so the versions of everything below them.
const PACKAGES: [&str; 2] = ["@uniswap/v3-core@1.0.1", "@uniswap/v3-periphery@1.4.4"];

/// A contract of a package, as compiled by its authors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Artifact {
    /// OpenZeppelin's ERC-20 token with a fixed supply: `(name, symbol, supply, owner)`.
    Token,
    /// Uniswap V3's factory of pools: `()`.
    Factory,
    /// Uniswap V3's router for swaps: `(factory, weth)`.
    Router,
    /// Uniswap V3's manager of liquidity: `(factory, weth, descriptor)`.
    PositionManager,
}

/// Why a contract's code cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// There is nowhere to put the packages.
    #[error("no folder for npm packages: set {CACHE_VARIABLE} or HOME")]
    NoCache,
    /// npm is not installed.
    #[error("npm cannot be run ({0}): the contracts come from npm packages, install Node.js")]
    NoNpm(io::Error),
    /// npm did not install the packages.
    #[error("npm could not install {packages}: {reason}")]
    Install {
        /// The packages.
        packages: String,
        /// What npm says.
        reason: String,
    },
    /// A file is not there or cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no artifact with a bytecode.
    #[error("{path}: no `bytecode` in hexadecimal; remove the folder to fetch it again", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
    },
}

impl Artifact {
    fn path(self) -> &'static str {
        match self {
            Self::Token => "@openzeppelin/contracts/build/contracts/ERC20PresetFixedSupply.json",
            Self::Factory => {
                "@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json"
            }
            Self::Router => {
                "@uniswap/v3-periphery/artifacts/contracts/SwapRouter.sol/SwapRouter.json"
            }
            Self::PositionManager => {
                "@uniswap/v3-periphery/artifacts/contracts/NonfungiblePositionManager.sol/NonfungiblePositionManager.json"
            }
        }
    }

    /// The code that deploys the contract, without its arguments. The packages are fetched where
    /// they are not there yet.
    ///
    /// # Errors
    /// [`ArtifactError`], which says what to do.
    pub fn init_code(self) -> Result<Bytes, ArtifactError> {
        #[derive(serde::Deserialize)]
        struct Compiled {
            bytecode: String,
        }
        let path = modules()?.join(self.path());
        let text =
            fs::read(&path).map_err(|source| ArtifactError::Io { path: path.clone(), source })?;
        let compiled: Option<Compiled> = serde_json::from_slice(&text).ok();
        let code = compiled.and_then(|compiled| hex::decode(compiled.bytecode).ok());
        code.filter(|code| !code.is_empty()).map(Bytes::from).ok_or(ArtifactError::Content { path })
    }
}

/// The folder with the packages, which are fetched where it is not there yet.
fn modules() -> Result<PathBuf, ArtifactError> {
    let cache = match (env::var_os(CACHE_VARIABLE), env::var_os("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => Path::new(&home).join(".cache/polity"),
        (None, None) => return Err(ArtifactError::NoCache),
    };
    let folder = cache.join("npm").join("uniswap-v3");
    let modules = folder.join("node_modules");
    if modules.exists() {
        return Ok(modules);
    }
    // Under another name first, so that what has the name is whole.
    let partial = cache.join("npm").join(format!("uniswap-v3.{}", std::process::id()));
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| ArtifactError::Io { path, source }
    };
    fs::create_dir_all(&partial).map_err(at(&partial))?;
    let output = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
        .arg(&partial)
        .args(PACKAGES)
        .output()
        .map_err(ArtifactError::NoNpm)?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(ArtifactError::Install { packages: PACKAGES.join(" "), reason });
    }
    match fs::rename(&partial, &folder) {
        // Another process was faster.
        Err(_) if modules.exists() => fs::remove_dir_all(&partial).map_err(at(&partial))?,
        other => other.map_err(at(&folder))?,
    }
    Ok(modules)
}

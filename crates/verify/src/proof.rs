use alloc::{boxed::Box, string::String, string::ToString, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};
use polity_types::B256;

use crate::{Cell, DecodeError, Key, Lookup, Path, Trie, TrieError};

/// What a proof says about a key.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Claim {
    /// The key.
    pub key: Key,
    /// What the state holds there; `None` where it holds nothing.
    pub cell: Option<Cell>,
}

/// A proof of what a state holds at some keys, and of what it does not hold.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proof {
    /// The format of the proof, [`Proof::VERSION`].
    version: u8,
    /// What it says, in ascending order of the keys' paths.
    claims: Vec<Claim>,
    /// The trie with nothing open but those paths, encoded.
    trie: Vec<u8>,
}

/// Why a proof does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The bytes are not a proof.
    #[error("not a proof: {0}")]
    Malformed(String),
    /// The proof has another format.
    #[error("a proof of format {0}, this verifier knows format {known}", known = Proof::VERSION)]
    Version(u8),
    /// The proof's trie is malformed.
    #[error("the proof's trie: {0}")]
    Trie(#[from] DecodeError),
    /// The proof is of another state.
    #[error("the proof is of the state with root {found}, not {expected}")]
    Root {
        /// The root that is trusted.
        expected: B256,
        /// The root of the proof's trie.
        found: B256,
    },
    /// The trie does not say what a claim says.
    #[error("the trie contradicts what the proof says about {0}")]
    Claim(Box<Key>),
    /// The claim's cell is not of the key's kind, or empty.
    #[error("what the proof says about {0} cannot be in any state")]
    Cell(Box<Key>),
    /// The paths of the claims are not in order.
    #[error("the claims: {0}")]
    Paths(TrieError),
    /// The trie is not the one that belongs to the claims.
    #[error("the trie opens more than the claims need")]
    Excess,
}

impl Proof {
    /// The format of proofs that are made and verified here.
    pub const VERSION: u8 = 1;

    /// The proof of claims, whose paths `trie` opens. Not verified.
    ///
    /// # Errors
    /// The trie does not open the paths.
    pub fn new(mut claims: Vec<Claim>, trie: &Trie) -> Result<Self, TrieError> {
        claims.sort_by_cached_key(|claim| claim.key.path());
        claims.dedup_by(|a, b| a.key == b.key);
        let paths: Vec<Path> = claims.iter().map(|claim| claim.key.path()).collect();
        let trie = trie.prove(&paths)?.encode();
        Ok(Self { version: Self::VERSION, claims, trie })
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing to a vector does not fail.
        let _ = self.serialize(&mut bytes);
        bytes
    }

    /// The proof with these bytes. Not verified.
    ///
    /// # Errors
    /// They are not a proof of this format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofError> {
        match bytes.first() {
            Some(version) if *version != Self::VERSION => Err(ProofError::Version(*version)),
            _ => borsh::from_slice(bytes).map_err(|error| ProofError::Malformed(error.to_string())),
        }
    }

    /// What the proof says, in ascending order of the keys' paths. Worth
    /// nothing before [`Proof::verify`].
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// The root of the state that the proof is of, as the proof has it.
    ///
    /// # Errors
    /// The proof's trie is malformed.
    pub fn root(&self) -> Result<B256, ProofError> {
        Ok(Trie::decode(&self.trie)?.root())
    }

    /// Verifies that the state with this root holds what the proof says.
    ///
    /// # Errors
    /// It does not, or the proof is not the canonical one for its claims.
    pub fn verify(&self, root: &B256) -> Result<&[Claim], ProofError> {
        if self.version != Self::VERSION {
            return Err(ProofError::Version(self.version));
        }
        let trie = Trie::decode(&self.trie)?;
        if trie.root() != *root {
            return Err(ProofError::Root { expected: *root, found: trie.root() });
        }
        let mut paths = Vec::with_capacity(self.claims.len());
        for claim in &self.claims {
            let boxed = || Box::new(claim.key.clone());
            let path = claim.key.path();
            let expected = match &claim.cell {
                None => Lookup::Absent,
                Some(cell) if fits(&claim.key, cell) => Lookup::Present(cell.hash()),
                Some(_) => return Err(ProofError::Cell(boxed())),
            };
            if trie.get(&path) != expected {
                return Err(ProofError::Claim(boxed()));
            }
            paths.push(path);
        }
        let needed = trie.prove(&paths).map_err(ProofError::Paths)?;
        if needed.encode() == self.trie { Ok(&self.claims) } else { Err(ProofError::Excess) }
    }
}

/// Whether a state can hold the cell at the key.
fn fits(key: &Key, cell: &Cell) -> bool {
    match (key, cell) {
        (Key::Account(_), Cell::Account(_)) => true,
        (Key::Slot(..), Cell::Slot(value)) => !Cell::is_absent(value),
        _ => false,
    }
}

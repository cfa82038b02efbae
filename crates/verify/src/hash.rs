use polity_types::B256;
use sha2::{Digest, Sha256};

/// The node of an empty subtree.
pub const TERMINATOR: B256 = B256::ZERO;

/// The top bit of a node's first byte, which tells leaves from inner nodes.
const LEAF_BIT: u8 = 0x80;

/// What a node stands for. It shows in the node itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An empty subtree.
    Terminator,
    /// A subtree with one leaf.
    Leaf,
    /// A subtree with two leaves or more.
    Inner,
}

impl Kind {
    /// The kind of a node.
    pub fn of(node: &B256) -> Self {
        match node.first() {
            Some(first) if first & LEAF_BIT != 0 => Self::Leaf,
            _ if *node == TERMINATOR => Self::Terminator,
            _ => Self::Inner,
        }
    }
}

/// The hash of a value's bytes: SHA-256.
pub fn hash_value(bytes: &[u8]) -> B256 {
    B256::new(Sha256::digest(bytes).into())
}

/// The node of a leaf: SHA-256 of path and value hash, with the top bit set.
pub fn hash_leaf(path: &[u8; 32], value: &B256) -> B256 {
    let mut node = pair(path, value);
    if let Some(first) = node.first_mut() {
        *first |= LEAF_BIT;
    }
    node
}

/// The node of two subtrees: SHA-256 of both nodes, with the top bit cleared.
pub fn hash_inner(left: &B256, right: &B256) -> B256 {
    let mut node = pair(left, right);
    if let Some(first) = node.first_mut() {
        *first &= !LEAF_BIT;
    }
    node
}

fn pair(left: &[u8; 32], right: &[u8; 32]) -> B256 {
    B256::new(Sha256::new().chain_update(left).chain_update(right).finalize().into())
}

use polity_types::B256;
use sha2::{Digest, Sha256, block_api::compress256};

/// The node of an empty subtree.
pub const TERMINATOR: B256 = B256::ZERO;

/// The top bit of a node's first byte, which tells leaves from inner nodes.
const LEAF_BIT: u8 = 0x80;

/// SHA-256's state before the first block.
const START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// SHA-256's last block for a message of 64 bytes: a one bit, zeros, and its length of 512 bits.
const PADDING: [u8; 64] = {
    let mut block = [0; 64];
    block[0] = 0x80;
    block[62] = 0x02;
    block
};

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

/// SHA-256 of 64 bytes: one block, and one of padding that is always the same.
fn pair(left: &[u8; 32], right: &[u8; 32]) -> B256 {
    let mut blocks = [[0; 64], PADDING];
    let [message, _] = &mut blocks;
    let (halves, _) = message.as_chunks_mut::<32>();
    halves.iter_mut().zip([left, right]).for_each(|(place, half)| *place = *half);
    let mut state = START;
    compress256(&mut state, &blocks);
    let mut hash = [0; 32];
    let (words, _) = hash.as_chunks_mut::<4>();
    words.iter_mut().zip(state).for_each(|(place, word)| *place = word.to_be_bytes());
    B256::new(hash)
}

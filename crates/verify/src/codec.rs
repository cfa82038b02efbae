use alloc::{boxed::Box, vec::Vec};
use polity_types::B256;

use crate::{
    Kind, Leaf, Path, TERMINATOR, Trie,
    trie::{Body, Node},
};

/// The byte before a node in the encoding of a trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(pub u8);

impl Tag {
    /// An empty subtree. Nothing follows.
    pub const TERMINATOR: Self = Self(0);
    /// A closed subtree. Its hash follows.
    pub const CLOSED: Self = Self(1);
    /// A leaf. Its path and the hash of its value follow.
    pub const LEAF: Self = Self(2);
    /// An inner node. Its left and its right subtree follow.
    pub const INNER: Self = Self(3);
}

/// Why bytes are not the encoding of a trie. `at` is an offset in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a node.
    #[error("byte {at}: the encoding ends too early")]
    End {
        /// Where.
        at: usize,
    },
    /// More bytes follow the last node.
    #[error("byte {at}: more bytes than one trie has")]
    Trailing {
        /// Where.
        at: usize,
    },
    /// A node begins with a byte that is no tag.
    #[error("byte {at}: no node begins with {tag:#04x}")]
    Tag {
        /// Where.
        at: usize,
        /// The byte.
        tag: u8,
    },
    /// An inner node at depth 256, where paths end.
    #[error("byte {at}: an inner node at depth 256")]
    Depth {
        /// Where.
        at: usize,
    },
    /// A leaf that is not on its path.
    #[error("byte {at}: a leaf at a place that is not on its path")]
    Place {
        /// Where.
        at: usize,
    },
    /// Nodes that have a shorter encoding, or that no trie has.
    #[error("byte {at}: {what}")]
    NotCanonical {
        /// Where.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
}

/// Bytes that are read from the front.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub const fn at(&self) -> usize {
        self.at
    }

    /// The next bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) =
            self.bytes.split_at_checked(length).ok_or(DecodeError::End { at: self.at })?;
        self.bytes = rest;
        self.at += length;
        Ok(taken)
    }

    /// The next bytes, as an array.
    ///
    /// # Errors
    /// There are fewer.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let at = self.at;
        self.take(N)?.try_into().map_err(|_| DecodeError::End { at })
    }

    /// Nothing is left.
    ///
    /// # Errors
    /// Something is.
    pub const fn finish(&self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(DecodeError::Trailing { at: self.at }) }
    }

    fn tag(&mut self) -> Result<Tag, DecodeError> {
        let [tag] = self.array()?;
        Ok(Tag(tag))
    }
}

impl Trie {
    /// The canonical encoding: the nodes in pre-order, each behind its [`Tag`].
    pub fn encode(&self) -> Vec<u8> {
        self.encode_with(|_, _| false)
    }

    /// As [`Trie::encode`], with leaves that `leaf` writes in a form of its own,
    /// a tag above [`Tag::INNER`] before it. It says whether it did.
    pub fn encode_with(&self, mut leaf: impl FnMut(&Leaf, &mut Vec<u8>) -> bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.node().encode(&mut bytes, &mut leaf);
        bytes
    }

    /// The trie with this encoding. Its root is computed from what is in it.
    ///
    /// # Errors
    /// The bytes are not the canonical encoding of any trie.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let trie = Self::decode_with(&mut reader, |reader, tag| {
            Err(DecodeError::Tag { at: reader.at().saturating_sub(1), tag: tag.0 })
        })?;
        reader.finish()?;
        Ok(trie)
    }

    /// The trie that is encoded next, with leaves of which `leaf` reads those
    /// behind a tag above [`Tag::INNER`].
    ///
    /// # Errors
    /// As [`Trie::decode`], and the errors of `leaf`.
    pub fn decode_with<'a, E: From<DecodeError>>(
        reader: &mut Reader<'a>,
        mut leaf: impl FnMut(&mut Reader<'a>, Tag) -> Result<Leaf, E>,
    ) -> Result<Self, E> {
        Ok(Self::of(decode(reader, &Path::default(), 0, &mut leaf)?))
    }
}

impl Node {
    fn encode(&self, bytes: &mut Vec<u8>, own: &mut impl FnMut(&Leaf, &mut Vec<u8>) -> bool) {
        match &self.body {
            Body::Closed if self.hash == TERMINATOR => bytes.push(Tag::TERMINATOR.0),
            Body::Closed => {
                bytes.push(Tag::CLOSED.0);
                bytes.extend_from_slice(self.hash.as_slice());
            }
            Body::Leaf(leaf) => {
                if !own(leaf, bytes) {
                    bytes.push(Tag::LEAF.0);
                    bytes.extend_from_slice(leaf.path.bytes());
                    bytes.extend_from_slice(leaf.value.as_slice());
                }
            }
            Body::Inner(children) => {
                bytes.push(Tag::INNER.0);
                for child in children.iter() {
                    child.encode(bytes, own);
                }
            }
        }
    }
}

/// Reads the node whose place is the first `depth` turns of `prefix`. The
/// recursion ends at depth 256.
fn decode<'a, E: From<DecodeError>>(
    reader: &mut Reader<'a>,
    prefix: &Path,
    depth: u16,
    own: &mut impl FnMut(&mut Reader<'a>, Tag) -> Result<Leaf, E>,
) -> Result<Node, E> {
    let at = reader.at();
    let place = |leaf: Leaf| match leaf.path.agrees(prefix, depth) {
        true => Ok(Node::leaf(leaf)),
        false => Err(DecodeError::Place { at }),
    };
    let node = match reader.tag()? {
        Tag::TERMINATOR => Node::closed(TERMINATOR),
        Tag::CLOSED => {
            let hash = B256::new(reader.array()?);
            if hash == TERMINATOR {
                let what = "an empty subtree written as a closed one";
                return Err(DecodeError::NotCanonical { at, what }.into());
            }
            Node::closed(hash)
        }
        Tag::LEAF => {
            let path = Path::new(reader.array()?);
            place(Leaf { path, value: B256::new(reader.array()?) })?
        }
        Tag::INNER if depth < Path::BITS => {
            let left = decode(reader, &prefix.with_bit(depth, false), depth + 1, own)?;
            let right = decode(reader, &prefix.with_bit(depth, true), depth + 1, own)?;
            if let Some(what) = flaw(&left, &right) {
                return Err(DecodeError::NotCanonical { at, what }.into());
            }
            Node { hash: crate::hash_inner(&left.hash, &right.hash), body: inner(left, right) }
        }
        Tag::INNER => return Err(DecodeError::Depth { at }.into()),
        tag => place(own(reader, tag)?)?,
    };
    Ok(node)
}

fn inner(left: Node, right: Node) -> Body {
    Body::Inner(Box::new([left, right]))
}

/// What is wrong with an inner node over these two.
fn flaw(left: &Node, right: &Node) -> Option<&'static str> {
    let closed = |node: &Node| node.hash != TERMINATOR && matches!(node.body, Body::Closed);
    match (Kind::of(&left.hash), Kind::of(&right.hash)) {
        (Kind::Terminator, Kind::Terminator) => Some("an inner node over nothing"),
        (Kind::Terminator, Kind::Leaf) | (Kind::Leaf, Kind::Terminator) => {
            Some("an inner node over a single leaf")
        }
        _ if closed(left) && closed(right) => Some("an inner node of which nothing is open"),
        _ => None,
    }
}

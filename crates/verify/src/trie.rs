use alloc::{boxed::Box, vec, vec::Vec};
use polity_types::B256;

use crate::{Kind, Path, TERMINATOR, hash_inner, hash_leaf};

/// Every prefix of this many turns has a subtree of its own in every state, so
/// that a shard is one subtree and the root does not depend on how many there
/// are.
pub const MINIMUM_DEPTH: u16 = 8;

/// A leaf: what the trie says about one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The place.
    pub path: Path,
    /// The hash of the value's bytes.
    pub value: B256,
}

impl Leaf {
    /// The leaf's node.
    pub fn hash(&self) -> B256 {
        hash_leaf(self.path.bytes(), &self.value)
    }
}

/// What to do at a path: set the value's hash, or with `None` delete the leaf.
pub type Change = (Path, Option<B256>);

/// What a trie says about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// There is a leaf, with this hash of its value.
    Present(B256),
    /// There is none.
    Absent,
    /// The part that holds the path is closed.
    Closed,
}

/// Why a trie could not be read or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrieError {
    /// The part of the trie that holds the path is known by its hash only.
    #[error("the trie is closed at depth {depth} above path {path}: open it before")]
    Closed {
        /// The path that was asked for.
        path: Path,
        /// The depth of the closed node.
        depth: u16,
    },
    /// Changes are not in ascending order of their paths, each path once.
    #[error("path {0} is out of order: sort the paths, each once")]
    Order(Path),
    /// The path is not under the subtree's prefix.
    #[error("path {path} is not in the subtree of the first {bits} turns of {prefix}")]
    Foreign {
        /// The path that was asked for.
        path: Path,
        /// A path of the subtree.
        prefix: Path,
        /// The turns that the subtree's paths have in common.
        bits: u16,
    },
    /// The siblings of a path do not lead to the node that they are opened in.
    #[error("the siblings of path {0} do not hash to the node above them")]
    Siblings(Path),
}

/// The trie of a state, or a subtree of it, of which a part may be closed: known
/// by its hash only.
///
/// Whole it is a state's trie in memory, with every node's hash; with all but
/// some paths closed it is a proof of those.
#[derive(Clone, Debug)]
pub struct Trie {
    /// A path of the subtree.
    prefix: Path,
    /// The depth of the root.
    bits: u16,
    pub(crate) root: Node,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) hash: B256,
    pub(crate) body: Body,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// Nothing is known but the hash; a terminator is always so.
    Closed,
    Leaf(Box<Leaf>),
    Inner(Box<[Node; 2]>),
}

/// How both halves of a large update are done.
pub trait Join: Sync {
    /// Halves with fewer changes than this are done one after the other.
    fn least(&self) -> usize;

    /// Does both, perhaps at once.
    fn join<A: Send, B: Send>(
        &self,
        left: impl FnOnce() -> A + Send,
        right: impl FnOnce() -> B + Send,
    ) -> (A, B);
}

/// One after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Serial;

impl Join for Serial {
    fn least(&self) -> usize {
        usize::MAX
    }

    fn join<A: Send, B: Send>(
        &self,
        left: impl FnOnce() -> A + Send,
        right: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        (left(), right())
    }
}

/// The leaves of the empty state, in ascending order: two under each prefix of
/// [`MINIMUM_DEPTH`] turns, one on each side. No key has their paths.
pub fn sentinels() -> impl Iterator<Item = Leaf> {
    (0..=u8::MAX).flat_map(|prefix| {
        [false, true].map(|right| {
            let mut bytes = [0; 32];
            if let Some(first) = bytes.first_mut() {
                *first = prefix;
            }
            Leaf { path: Path::new(bytes).with_bit(MINIMUM_DEPTH, right), value: B256::ZERO }
        })
    })
}

/// Whether a path is one of [`sentinels`]'.
pub fn is_sentinel(path: &Path) -> bool {
    let [_, side, rest @ ..] = path.bytes();
    side & 0x7f == 0 && rest.iter().all(|byte| *byte == 0)
}

/// The root over the nodes of all subtrees of one depth, from left to right.
/// `None` unless their number is a power of two.
pub fn fold(nodes: &[B256]) -> Option<B256> {
    if !nodes.len().is_power_of_two() {
        return None;
    }
    let mut level = nodes.to_vec();
    while level.len() > 1 {
        let (pairs, _) = level.as_chunks::<2>();
        level = pairs.iter().map(|[left, right]| hash_inner(left, right)).collect();
    }
    level.first().copied()
}

impl Trie {
    /// The trie without any leaf, not even [`sentinels`].
    pub const fn bare() -> Self {
        Self::closed(TERMINATOR)
    }

    /// The trie of the empty state: the [`sentinels`] alone.
    pub fn empty() -> Self {
        let leaves: Vec<Leaf> = sentinels().collect();
        Self { prefix: Path::default(), bits: 0, root: build(0, &leaves) }
    }

    /// A trie of which nothing is known but the root.
    pub const fn closed(root: B256) -> Self {
        Self { prefix: Path::new([0; 32]), bits: 0, root: Node { hash: root, body: Body::Closed } }
    }

    pub(crate) const fn of(root: Node) -> Self {
        Self { prefix: Path::new([0; 32]), bits: 0, root }
    }

    pub(crate) const fn node(&self) -> &Node {
        &self.root
    }

    /// The node at the top.
    pub const fn root(&self) -> B256 {
        self.root.hash
    }

    /// What the trie says about a path.
    pub fn get(&self, path: &Path) -> Lookup {
        let mut node = &self.root;
        let mut depth = self.bits;
        loop {
            match &node.body {
                Body::Closed if node.hash == TERMINATOR => return Lookup::Absent,
                Body::Closed => return Lookup::Closed,
                Body::Leaf(leaf) if leaf.path == *path => return Lookup::Present(leaf.value),
                Body::Leaf(_) => return Lookup::Absent,
                Body::Inner(children) => {
                    node = child(children, path.bit(depth));
                    depth += 1;
                }
            }
        }
    }

    /// Sets and deletes leaves, in ascending order of their paths, each once.
    ///
    /// # Errors
    /// The paths are not as they should be, or a part of the trie is closed that
    /// has to be open. The trie is then in part changed, and of no use.
    pub fn update(&mut self, changes: &[Change]) -> Result<(), TrieError> {
        self.replace(changes, &Serial).map(drop)
    }

    /// As [`Trie::update`], with both halves of a large update done by `join`.
    /// Gives the value's hash that each path had before, if it had a leaf.
    ///
    /// # Errors
    /// As [`Trie::update`].
    pub fn replace(
        &mut self,
        changes: &[Change],
        join: &impl Join,
    ) -> Result<Vec<Option<B256>>, TrieError> {
        let paths = || changes.iter().map(|(path, _)| path);
        self.check(paths())?;
        let mut replaced = vec![None; changes.len()];
        self.root.update(self.bits, changes, &mut replaced, join)?;
        Ok(replaced)
    }

    /// The trie with nothing open but these paths, given in ascending order,
    /// each once: a proof of what it says about them.
    ///
    /// # Errors
    /// As [`Trie::update`]; this trie stays as it is.
    pub fn prove(&self, paths: &[Path]) -> Result<Self, TrieError> {
        self.check(paths.iter())?;
        let root = self.root.prove(self.bits, paths)?;
        Ok(Self { prefix: self.prefix, bits: self.bits, root })
    }

    /// Every leaf under the first `bits` turns of `prefix`, in ascending order.
    ///
    /// # Errors
    /// A part of it is closed.
    pub fn leaves(&self, prefix: &Path, bits: u16) -> Result<Vec<Leaf>, TrieError> {
        let mut leaves = Vec::new();
        let mut node = &self.root;
        let mut depth = self.bits;
        while depth < bits {
            let Body::Inner(children) = &node.body else { break };
            node = child(children, prefix.bit(depth));
            depth += 1;
        }
        node.leaves(prefix, depth, &mut leaves)?;
        leaves.retain(|leaf| leaf.path.agrees(prefix, bits));
        Ok(leaves)
    }

    /// The subtree under the first `bits` turns of `prefix`. `None` where it does
    /// not begin at that depth, which is never so in a state's trie down to
    /// [`MINIMUM_DEPTH`], or where the trie is closed above.
    pub fn subtree(&self, prefix: &Path, bits: u16) -> Option<Self> {
        let mut node = &self.root;
        for depth in self.bits..bits {
            let Body::Inner(children) = &node.body else { return None };
            node = child(children, prefix.bit(depth));
        }
        Some(Self { prefix: *prefix, bits, root: node.clone() })
    }

    pub(crate) fn check<'a>(
        &self,
        paths: impl Iterator<Item = &'a Path> + Clone,
    ) -> Result<(), TrieError> {
        let pairs = paths.clone().zip(paths.clone().skip(1));
        if let Some((_, next)) = pairs.into_iter().find(|(path, next)| path >= next) {
            return Err(TrieError::Order(*next));
        }
        // All paths between two of the subtree are in it.
        let foreign = [paths.clone().next(), paths.last()]
            .into_iter()
            .flatten()
            .find(|path| !path.agrees(&self.prefix, self.bits));
        match foreign {
            None => Ok(()),
            Some(path) => {
                Err(TrieError::Foreign { path: *path, prefix: self.prefix, bits: self.bits })
            }
        }
    }
}

impl Node {
    pub(crate) const fn closed(hash: B256) -> Self {
        Self { hash, body: Body::Closed }
    }

    pub(crate) fn leaf(leaf: Leaf) -> Self {
        Self { hash: leaf.hash(), body: Body::Leaf(Box::new(leaf)) }
    }

    pub(crate) fn inner(left: Self, right: Self) -> Self {
        let hash = hash_inner(&left.hash, &right.hash);
        Self { hash, body: Body::Inner(Box::new([left, right])) }
    }

    fn update(
        &mut self,
        depth: u16,
        changes: &[Change],
        replaced: &mut [Option<B256>],
        join: &impl Join,
    ) -> Result<(), TrieError> {
        let Some((path, _)) = changes.first() else { return Ok(()) };
        match &mut self.body {
            Body::Closed if self.hash != TERMINATOR => {
                Err(TrieError::Closed { path: *path, depth })
            }
            Body::Closed => {
                *self = build(depth, &merge(None, changes));
                Ok(())
            }
            Body::Leaf(leaf) => {
                let place = changes.binary_search_by_key(&leaf.path, |(path, _)| *path).ok();
                if let Some(place) = place.and_then(|place| replaced.get_mut(place)) {
                    *place = Some(leaf.value);
                }
                *self = build(depth, &merge(Some(leaf), changes));
                Ok(())
            }
            Body::Inner(children) => {
                let ((lower, before), (upper, after)) = halve(changes, replaced, depth);
                let [left, right] = children.as_mut();
                let left_half = || left.update(depth + 1, lower, before, join);
                let right_half = || right.update(depth + 1, upper, after, join);
                let (lower, upper) =
                    both(join, lower.len().min(upper.len()), left_half, right_half);
                lower?;
                upper?;
                self.settle();
                Ok(())
            }
        }
    }

    /// Makes an inner node right again after its children changed: a leaf
    /// without a neighbour takes its place.
    fn settle(&mut self) {
        let Body::Inner(children) = &mut self.body else { return };
        let [left, right] = children.as_mut();
        let lone = match (Kind::of(&left.hash), Kind::of(&right.hash)) {
            (Kind::Terminator, Kind::Leaf | Kind::Terminator) => right,
            (Kind::Leaf, Kind::Terminator) => left,
            _ => {
                self.hash = hash_inner(&left.hash, &right.hash);
                return;
            }
        };
        *self = core::mem::replace(lone, Self::closed(TERMINATOR));
    }

    fn prove(&self, depth: u16, paths: &[Path]) -> Result<Self, TrieError> {
        let Some(path) = paths.first() else { return Ok(Self::closed(self.hash)) };
        match &self.body {
            Body::Closed if self.hash != TERMINATOR => {
                Err(TrieError::Closed { path: *path, depth })
            }
            Body::Closed => Ok(Self::closed(TERMINATOR)),
            Body::Leaf(_) => Ok(self.clone()),
            Body::Inner(children) => {
                let (lower, upper) = split(paths, depth, |path| path);
                let [left, right] = children.as_ref();
                let open = [left.prove(depth + 1, lower)?, right.prove(depth + 1, upper)?];
                Ok(Self { hash: self.hash, body: Body::Inner(Box::new(open)) })
            }
        }
    }

    fn leaves(&self, prefix: &Path, depth: u16, leaves: &mut Vec<Leaf>) -> Result<(), TrieError> {
        match &self.body {
            Body::Closed if self.hash != TERMINATOR => {
                Err(TrieError::Closed { path: *prefix, depth })
            }
            Body::Closed => Ok(()),
            Body::Leaf(leaf) => {
                leaves.push(**leaf);
                Ok(())
            }
            Body::Inner(children) => {
                children.iter().zip([false, true]).try_for_each(|(child, right)| {
                    child.leaves(&prefix.with_bit(depth, right), depth + 1, leaves)
                })
            }
        }
    }
}

/// The subtree at a depth with these leaves, in ascending order.
pub(crate) fn build(depth: u16, leaves: &[Leaf]) -> Node {
    match leaves {
        [] => Node::closed(TERMINATOR),
        [leaf] => Node::leaf(*leaf),
        leaves => {
            let (left, right) = split(leaves, depth, |leaf| &leaf.path);
            Node::inner(build(depth + 1, left), build(depth + 1, right))
        }
    }
}

/// The leaves after the changes to a subtree that has `leaf` only.
pub(crate) fn merge(leaf: Option<&Leaf>, changes: &[Change]) -> Vec<Leaf> {
    let mut leaves = Vec::with_capacity(changes.len() + 1);
    let kept =
        leaf.filter(|leaf| changes.binary_search_by_key(&leaf.path, |(path, _)| *path).is_err());
    let set = |(path, value): &Change| value.map(|value| Leaf { path: *path, value });
    let place = kept.map_or(0, |leaf| changes.partition_point(|(path, _)| *path < leaf.path));
    let (before, after) = changes.split_at_checked(place).unwrap_or((changes, &[]));
    leaves.extend(before.iter().filter_map(set));
    leaves.extend(kept);
    leaves.extend(after.iter().filter_map(set));
    leaves
}

/// Does both halves, of which the smaller has so many paths.
pub(crate) fn both<A: Send, B: Send>(
    join: &impl Join,
    smaller: usize,
    left: impl FnOnce() -> A + Send,
    right: impl FnOnce() -> B + Send,
) -> (A, B) {
    if smaller < join.least() { (left(), right()) } else { join.join(left, right) }
}

/// What goes to the left at a depth, and what to the right.
pub(crate) fn split<T>(sorted: &[T], depth: u16, path: impl Fn(&T) -> &Path) -> (&[T], &[T]) {
    let place = sorted.partition_point(|item| !path(item).bit(depth));
    sorted.split_at_checked(place).unwrap_or((sorted, &[]))
}

const fn child(children: &[Node; 2], right: bool) -> &Node {
    let [left, other] = children;
    if right { other } else { left }
}

/// Changes, and where it is noted what each replaces.
type Half<'c, 'r> = (&'c [Change], &'r mut [Option<B256>]);

/// What goes to the left at a depth, and what to the right, with where it is noted what each replaces.
pub(crate) fn halve<'c, 'r>(
    changes: &'c [Change],
    replaced: &'r mut [Option<B256>],
    depth: u16,
) -> (Half<'c, 'r>, Half<'c, 'r>) {
    let (lower, upper) = split(changes, depth, |(path, _)| path);
    let (before, after) = replaced.split_at_mut(lower.len().min(replaced.len()));
    ((lower, before), (upper, after))
}

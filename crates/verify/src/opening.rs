use alloc::{vec, vec::Vec};
use polity_types::B256;

use crate::{
    Change, Join, Kind, Leaf, Path, TERMINATOR, Trie, TrieError, hash_inner,
    trie::{Node, both, build, halve, merge, split},
};

/// A path of a trie, from the root down to where it ends.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The path; turns below its end do not count.
    pub path: Path,
    /// The nodes beside it, from the root down: as many as it is long.
    pub siblings: &'a [[u8; 32]],
    /// The leaf at its end, if there is one.
    pub terminal: Option<Leaf>,
}

/// What changes come to, of a trie that is known only along some paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advance {
    /// The root after the changes.
    pub root: B256,
    /// The value's hash that each path had before, if it had a leaf.
    pub replaced: Vec<Option<B256>>,
}

/// A node before the changes and after.
#[derive(Clone, Copy)]
struct Step {
    before: B256,
    after: B256,
}

impl Trie {
    /// The trie with this root and these paths open, which ascend; no two end at
    /// the same place.
    ///
    /// Every node's hash is computed once, from what is below it; a node beside
    /// a path that lies on another one is not looked at. `join` does both halves
    /// of many.
    ///
    /// # Errors
    /// The paths do not lead to the root.
    pub fn opened(root: B256, paths: &[Opening<'_>], join: &impl Join) -> Result<Self, TrieError> {
        let mut trie = Self::closed(root);
        trie.check(paths.iter().map(|opening| &opening.path))?;
        if let Some(first) = paths.first() {
            trie.root = open(0, paths, join)?;
            if trie.root.hash != root {
                return Err(TrieError::Siblings(first.path));
            }
        }
        Ok(trie)
    }

    /// What changes come to in the trie with this root and these paths open: as
    /// [`Trie::opened`] and [`Trie::replace`], at once and without the trie.
    ///
    /// # Errors
    /// As those two.
    pub fn advance(
        root: B256,
        paths: &[Opening<'_>],
        changes: &[Change],
        join: &impl Join,
    ) -> Result<Advance, TrieError> {
        let trie = Self::closed(root);
        trie.check(paths.iter().map(|opening| &opening.path))?;
        trie.check(changes.iter().map(|(path, _)| path))?;
        let mut replaced = vec![None; changes.len()];
        let step = match paths.first() {
            None => Step::closed(root, 0, changes)?,
            Some(first) => {
                let step = advance(0, paths, changes, &mut replaced, join)?;
                if step.before != root {
                    return Err(TrieError::Siblings(first.path));
                }
                step
            }
        };
        Ok(Advance { root: step.after, replaced })
    }
}

/// The subtree at a depth with these paths open: one at least, all through it.
fn open(depth: u16, paths: &[Opening<'_>], join: &impl Join) -> Result<Node, TrieError> {
    let [first, others @ ..] = paths else { return Ok(Node::closed(TERMINATOR)) };
    if others.is_empty() {
        return first.below(depth);
    }
    let (lower, upper) = split(paths, depth, |opening| &opening.path);
    let sibling = first.siblings.get(usize::from(depth));
    let sibling = Node::closed(B256::new(*sibling.ok_or(TrieError::Siblings(first.path))?));
    Ok(match (lower, upper) {
        ([], upper) => Node::inner(sibling, open(depth + 1, upper, join)?),
        (lower, []) => Node::inner(open(depth + 1, lower, join)?, sibling),
        (lower, upper) => {
            let [left, right] = [lower, upper].map(|half| move || open(depth + 1, half, join));
            let (left, right) = both(join, lower.len().min(upper.len()), left, right);
            Node::inner(left?, right?)
        }
    })
}

impl Opening<'_> {
    /// The depth of the path's end, which is not above `depth`, and whose leaf lies on the path.
    fn bottom(&self, depth: u16) -> Result<u16, TrieError> {
        let bottom = u16::try_from(self.siblings.len()).ok();
        bottom
            .filter(|bottom| (depth..=Path::BITS).contains(bottom))
            .filter(|bottom| self.terminal.is_none_or(|leaf| leaf.path.agrees(&self.path, *bottom)))
            .ok_or(TrieError::Siblings(self.path))
    }

    /// The node at a depth of the path, with what is below it.
    fn below(&self, depth: u16) -> Result<Node, TrieError> {
        let bottom = self.bottom(depth)?;
        let siblings = self.siblings.get(usize::from(depth)..).unwrap_or_default();
        let mut node = self.terminal.map_or(Node::closed(TERMINATOR), Node::leaf);
        for (depth, sibling) in (depth..bottom).zip(siblings).rev() {
            let sibling = Node::closed(B256::new(*sibling));
            node = match self.path.bit(depth) {
                false => Node::inner(node, sibling),
                true => Node::inner(sibling, node),
            };
        }
        Ok(node)
    }
}

/// What the changes come to in the subtree at a depth with these paths open: one
/// at least, all through it.
fn advance(
    depth: u16,
    paths: &[Opening<'_>],
    changes: &[Change],
    replaced: &mut [Option<B256>],
    join: &impl Join,
) -> Result<Step, TrieError> {
    let [first, others @ ..] = paths else { return Step::closed(TERMINATOR, depth, changes) };
    if others.is_empty() {
        return first.advance(depth, changes, replaced);
    }
    let sibling = first.siblings.get(usize::from(depth));
    let sibling = B256::new(*sibling.ok_or(TrieError::Siblings(first.path))?);
    let (left, right) = split(paths, depth, |opening| &opening.path);
    let ((lower, before), (upper, after)) = halve(changes, replaced, depth);
    let half =
        |paths: &[Opening<'_>], changes: &[Change], replaced: &mut [Option<B256>]| match paths {
            [] => Step::closed(sibling, depth + 1, changes),
            paths => advance(depth + 1, paths, changes, replaced, join),
        };
    let (left, right) = both(
        join,
        left.len().min(right.len()),
        || half(left, lower, before),
        || half(right, upper, after),
    );
    Ok(Step::above(left?, right?))
}

impl Opening<'_> {
    /// What the changes come to in the subtree at a depth of the path.
    fn advance(
        &self,
        depth: u16,
        changes: &[Change],
        replaced: &mut [Option<B256>],
    ) -> Result<Step, TrieError> {
        self.bottom(depth)?;
        self.descend(depth, changes, replaced)
    }

    fn descend(
        &self,
        depth: u16,
        changes: &[Change],
        replaced: &mut [Option<B256>],
    ) -> Result<Step, TrieError> {
        let Some(sibling) = self.siblings.get(usize::from(depth)) else {
            return Ok(self.end(depth, changes, replaced));
        };
        let sibling = B256::new(*sibling);
        let ((lower, before), (upper, after)) = halve(changes, replaced, depth);
        Ok(if self.path.bit(depth) {
            let left = Step::closed(sibling, depth + 1, lower)?;
            Step::above(left, self.descend(depth + 1, upper, after)?)
        } else {
            let left = self.descend(depth + 1, lower, before)?;
            Step::above(left, Step::closed(sibling, depth + 1, upper)?)
        })
    }

    /// Where the path ends: a leaf or nothing, and after the changes any number
    /// of leaves.
    fn end(&self, depth: u16, changes: &[Change], replaced: &mut [Option<B256>]) -> Step {
        let leaf = self.terminal;
        let found = leaf.and_then(|leaf| {
            let place = changes.binary_search_by_key(&leaf.path, |(path, _)| *path).ok();
            replaced.get_mut(place?).zip(Some(leaf.value))
        });
        if let Some((place, value)) = found {
            *place = Some(value);
        }
        let before = leaf.map_or(TERMINATOR, |leaf| leaf.hash());
        let after = match (leaf, changes) {
            (_, []) => before,
            (Some(Leaf { path: own, .. }), [(path, value)]) if own == *path => node(path, value),
            (None, [(path, value)]) => node(path, value),
            (leaf, changes) => build(depth, &merge(leaf.as_ref(), changes)).hash,
        };
        Step { before, after }
    }
}

/// The node of a path alone.
fn node(path: &Path, value: &Option<B256>) -> B256 {
    value.map_or(TERMINATOR, |value| Leaf { path: *path, value }.hash())
}

impl Step {
    /// A node of which nothing is known but the hash: only below an empty one there may be changes.
    fn closed(hash: B256, depth: u16, changes: &[Change]) -> Result<Self, TrieError> {
        let after = match changes.first() {
            None => hash,
            Some(_) if hash == TERMINATOR => build(depth, &merge(None, changes)).hash,
            Some((path, _)) => return Err(TrieError::Closed { path: *path, depth }),
        };
        Ok(Self { before: hash, after })
    }

    /// The inner node above two; a leaf without a neighbour takes its place.
    fn above(left: Self, right: Self) -> Self {
        let before = hash_inner(&left.before, &right.before);
        let after = match (Kind::of(&left.after), Kind::of(&right.after)) {
            _ if left.before == left.after && right.before == right.after => before,
            (Kind::Terminator, Kind::Leaf | Kind::Terminator) => right.after,
            (Kind::Leaf, Kind::Terminator) => left.after,
            _ => hash_inner(&left.after, &right.after),
        };
        Self { before, after }
    }
}

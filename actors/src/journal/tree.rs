//! The Merkle tree over the records (RFC 6962, *2.1*): hashes, roots and proofs.
//!
//! A leaf is SHA-256(0x00 ‖ header ‖ SHA-256(salt ‖ payload)), a node SHA-256(0x01 ‖ left ‖ right).
//! Header and inner hash need no length between them: the inner hash is always the last 32 bytes.
//! A record without payload uses an empty salt and an empty payload. Only hashing is here: where
//! node hashes lie is the store's business ([`Nodes`]).

use sha2::{Digest, Sha256};

use crate::ports::journal::{Hash, Nodes, StoreError};

/// SHA-256(salt ‖ payload): what stays of a payload in its leaf when it is erased.
pub fn commitment(salt: &[u8], payload: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update(payload);
    hash.finalize().into()
}

/// The hash of one record. `commitment` is [`commitment`] of its payload, or of nothing.
pub fn leaf_hash(header: &[u8], commitment: &Hash) -> Hash {
    let mut hash = Sha256::new();
    hash.update([0x00]);
    hash.update(header);
    hash.update(commitment);
    hash.finalize().into()
}

/// The hash of an inner node.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hash = Sha256::new();
    hash.update([0x01]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

/// The root of the tree without records: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// How many node hashes the first `leaves` leaves complete: where leaf `leaves` begins in the
/// sequence of all node hashes in order of completion (each leaf, then the nodes it completes).
pub const fn nodes_before(leaves: u64) -> u64 {
    2 * leaves - leaves.count_ones() as u64
}

/// The right edge of the tree: the roots of its complete subtrees, largest first. All that is
/// needed to add leaves and to tell the root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// The frontier of a tree of `size` leaves, read from its nodes.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when a node cannot be read.
    pub fn load(nodes: &(impl Nodes + ?Sized), size: u64) -> Result<Self, StoreError> {
        let mut roots = Vec::new();
        let mut start = 0;
        for level in (0..u64::BITS).rev().filter(|level| size >> level & 1 == 1) {
            roots.push(nodes.node(level, start >> level)?);
            start += 1 << level;
        }
        Ok(Self { size, roots })
    }

    /// Leaves so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; appends its hash and those of the nodes it completes to `completed`.
    pub fn push(&mut self, leaf: Hash, completed: &mut Vec<u8>) {
        completed.extend_from_slice(&leaf);
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                hash = node_hash(&left, &hash);
                completed.extend_from_slice(&hash);
            }
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// The tree's root.
    pub fn root(&self) -> Hash {
        let mut from_right = self.roots.iter().rev().copied();
        match from_right.next() {
            None => empty_root(),
            Some(last) => from_right.fold(last, |right, left| node_hash(&left, &right)),
        }
    }
}

/// The root of the first `size` records.
///
/// # Errors
///
/// [`StoreError`] when a node cannot be read.
pub fn root_at(nodes: &(impl Nodes + ?Sized), size: u64) -> Result<Hash, StoreError> {
    Ok(Frontier::load(nodes, size)?.root())
}

/// The root over leaves `from..to`, where `from` is a multiple of the power of two not below
/// `to - from` (as all ranges of RFC 6962's definitions are).
fn range_root(nodes: &(impl Nodes + ?Sized), from: u64, to: u64) -> Result<Hash, StoreError> {
    let count = to - from;
    if count.is_power_of_two() {
        let level = count.trailing_zeros();
        return nodes.node(level, from >> level);
    }
    let middle = from + split(count);
    let left = range_root(nodes, from, middle)?;
    Ok(node_hash(&left, &range_root(nodes, middle, to)?))
}

/// The largest power of two below `count`, which is at least 2.
const fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// Proves that leaf `index` is in the tree of `size` leaves (RFC 6962, PATH). Empty when `index`
/// is not below `size`.
///
/// # Errors
///
/// [`StoreError`] when a node cannot be read.
pub fn inclusion(
    nodes: &(impl Nodes + ?Sized),
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, StoreError> {
    let mut proof = Vec::new();
    let (mut from, mut to) = (0, size);
    while to > from + 1 && index < size {
        let middle = from + split(to - from);
        if index < middle {
            proof.push(range_root(nodes, middle, to)?);
            to = middle;
        } else {
            proof.push(range_root(nodes, from, middle)?);
            from = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Proves that the tree of `new` leaves begins with the tree of `old` (RFC 6962, PROOF). Empty when
/// they are equal or `old` is zero.
///
/// # Errors
///
/// [`StoreError`] when a node cannot be read.
pub fn consistency(
    nodes: &(impl Nodes + ?Sized),
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, StoreError> {
    if old == 0 || old >= new {
        return Ok(Vec::new());
    }
    let mut proof = Vec::new();
    let (mut from, mut to, mut whole) = (0, new, true);
    while old != to {
        let middle = from + split(to - from);
        if old <= middle {
            proof.push(range_root(nodes, middle, to)?);
            to = middle;
        } else {
            proof.push(range_root(nodes, from, middle)?);
            from = middle;
            whole = false;
        }
    }
    if !whole {
        proof.push(range_root(nodes, from, to)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Whether `proof` shows that `leaf` stands at `index` in the tree of `size` leaves with `root`.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `proof` shows that the tree of `new` leaves with `new_root` begins with the tree of
/// `old` leaves with `old_root`.
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> bool {
    if old > new {
        return false;
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return proof.is_empty() && *old_root == empty_root();
    }
    let mut steps = proof.iter();
    let start = if old.is_power_of_two() {
        Some(old_root)
    } else {
        steps.next()
    };
    let Some(start) = start else { return false };
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut of_old, mut of_new) = (*start, *start);
    for sibling in steps {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            of_old = node_hash(sibling, &of_old);
            of_new = node_hash(sibling, &of_new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            of_new = node_hash(&of_new, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && of_old == *old_root && of_new == *new_root
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Node hashes in order of completion, as a store keeps them.
    #[derive(Default)]
    pub(crate) struct InOrder(pub(crate) Vec<u8>);

    impl Nodes for InOrder {
        fn node(&self, level: u32, index: u64) -> Result<Hash, StoreError> {
            let last_leaf = ((index + 1) << level) - 1;
            let at = usize::try_from(nodes_before(last_leaf)).unwrap() + level as usize;
            let bytes = self.0.get(at * 32..at * 32 + 32);
            bytes
                .map(|b| b.try_into().unwrap())
                .ok_or_else(|| StoreError::corrupt("no such node"))
        }
    }

    /// The definition of RFC 6962, word for word.
    fn naive_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [one] => *one,
            more => {
                let k = more.len().next_power_of_two() / 2;
                node_hash(&naive_root(&more[..k]), &naive_root(&more[k..]))
            }
        }
    }

    fn naive_path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() <= 1 {
            return vec![];
        }
        let k = leaves.len().next_power_of_two() / 2;
        let (mut path, other) = if m < k {
            (naive_path(m, &leaves[..k]), naive_root(&leaves[k..]))
        } else {
            (naive_path(m - k, &leaves[k..]), naive_root(&leaves[..k]))
        };
        path.push(other);
        path
    }

    fn naive_subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
        if m == leaves.len() {
            return if whole {
                vec![]
            } else {
                vec![naive_root(leaves)]
            };
        }
        let k = leaves.len().next_power_of_two() / 2;
        let (mut proof, other) = if m <= k {
            (
                naive_subproof(m, &leaves[..k], whole),
                naive_root(&leaves[k..]),
            )
        } else {
            (
                naive_subproof(m - k, &leaves[k..], false),
                naive_root(&leaves[..k]),
            )
        };
        proof.push(other);
        proof
    }

    fn leaves(count: usize) -> Vec<Hash> {
        let leaf = |i: usize| leaf_hash(&i.to_be_bytes(), &commitment(b"", b""));
        (0..count).map(leaf).collect()
    }

    fn built(leaves: &[Hash]) -> (Frontier, InOrder) {
        let (mut frontier, mut nodes) = (Frontier::default(), InOrder::default());
        leaves.iter().for_each(|l| frontier.push(*l, &mut nodes.0));
        (frontier, nodes)
    }

    #[test]
    fn the_published_roots_of_rfc_6962_test_trees_come_out() {
        // The eight leaves of the Certificate Transparency reference test vectors.
        let inputs = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let leaf = |input: &str| -> Hash {
            Sha256::new()
                .chain_update([0])
                .chain_update(hex::decode(input).unwrap())
                .finalize()
                .into()
        };
        let leaves: Vec<_> = inputs.iter().map(|i| leaf(i)).collect();
        let expected = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        for (count, root) in (1..).zip(expected) {
            assert_eq!(hex::encode(built(&leaves[..count]).0.root()), root);
        }
        assert_eq!(
            hex::encode(empty_root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn every_proof_of_every_small_tree_is_the_rfcs_and_verifies() {
        let all = leaves(40);
        let (_, nodes) = built(&all);
        for size in 1..=all.len() {
            let root = root_at(&nodes, size as u64).unwrap();
            assert_eq!(root, naive_root(&all[..size]));
            for index in 0..size {
                let proof = inclusion(&nodes, index as u64, size as u64).unwrap();
                assert_eq!(proof, naive_path(index, &all[..size]));
                assert!(verify_inclusion(
                    &all[index],
                    index as u64,
                    size as u64,
                    &proof,
                    &root
                ));
            }
            for old in 1..=size {
                let proof = consistency(&nodes, old as u64, size as u64).unwrap();
                assert_eq!(proof, naive_subproof(old, &all[..size], true));
                let old_root = naive_root(&all[..old]);
                assert!(verify_consistency(
                    old as u64,
                    &old_root,
                    size as u64,
                    &root,
                    &proof
                ));
            }
        }
    }

    mod properties {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(64))]

            #[test]
            fn a_frontier_loaded_from_nodes_is_the_one_that_was_built(count in 0usize..300) {
                let all = leaves(count);
                let (frontier, nodes) = built(&all);
                prop_assert_eq!(nodes.0.len() as u64, 32 * nodes_before(count as u64));
                prop_assert_eq!(frontier.root(), naive_root(&all));
                prop_assert_eq!(Frontier::load(&nodes, count as u64).unwrap(), frontier);
            }

            #[test]
            fn a_changed_proof_does_not_verify(
                size in 2usize..200, at in any::<prop::sample::Index>(),
                old in any::<prop::sample::Index>(), hash in any::<prop::sample::Index>(), bit in 0usize..256,
            ) {
                let all = leaves(size);
                let (frontier, nodes) = built(&all);
                let (root, n) = (frontier.root(), size as u64);
                let index = at.index(size);
                let mut proof = inclusion(&nodes, index as u64, n).unwrap();
                let which = hash.index(proof.len());
                proof[which][bit / 8] ^= 1 << (bit % 8);
                prop_assert!(!verify_inclusion(&all[index], index as u64, n, &proof, &root));
                prop_assert!(!verify_inclusion(&all[(index + 1) % size], index as u64, n,
                    &inclusion(&nodes, index as u64, n).unwrap(), &root));

                let old = 1 + old.index(size - 1);
                let mut proof = consistency(&nodes, old as u64, n).unwrap();
                let old_root = naive_root(&all[..old]);
                let which = hash.index(proof.len());
                proof[which][bit / 8] ^= 1 << (bit % 8);
                prop_assert!(!verify_consistency(old as u64, &old_root, n, &root, &proof));
            }
        }
    }
}

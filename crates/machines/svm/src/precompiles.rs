//! Signature checks that are instructions: ed25519, secp256k1 and secp256r1 (SIMD-0075,
//! SIMD-0152).
//!
//! An instruction says how many signatures it checks, and of each where in the
//! transaction's instructions signature, key and message lie.

use alloy_primitives::keccak256;
use k256::ecdsa::{RecoveryId, Signature as EcdsaSignature, VerifyingKey};
use p256::ecdsa::signature::Verifier;
use solana_precompile_error::PrecompileError;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{ed25519_program, secp256k1_program, secp256r1_program};
use solana_svm_callback::InvokeContextCallback;

/// The programs that are no programs.
pub(crate) const ALL: [Pubkey; 3] =
    [ed25519_program::ID, secp256k1_program::ID, secp256r1_program::ID];

/// Says to the runtime which programs they are, and runs them.
pub(crate) struct Precompiles;

impl InvokeContextCallback for Precompiles {
    fn is_precompile(&self, program: &Pubkey) -> bool {
        ALL.contains(program)
    }

    fn process_precompile(
        &self,
        program: &Pubkey,
        data: &[u8],
        instructions: Vec<&[u8]>,
    ) -> Result<(), PrecompileError> {
        if ed25519_program::check_id(program) {
            ed25519(data, &instructions)
        } else if secp256k1_program::check_id(program) {
            secp256k1(data, &instructions)
        } else if secp256r1_program::check_id(program) {
            secp256r1(data, &instructions)
        } else {
            Err(PrecompileError::InvalidPublicKey)
        }
    }
}

/// The most signatures of one instruction for secp256r1.
const MOST_SECP256R1: u8 = 8;

fn ed25519(data: &[u8], instructions: &[&[u8]]) -> Result<(), PrecompileError> {
    let (count, entries) = wide_entries(data)?;
    if count == 0 && data.len() > 2 {
        return Err(PrecompileError::InvalidInstructionDataSize);
    }
    for entry in entries {
        let parts = Parts::find(entry, data, instructions, 64, 32)?;
        let signature = ed25519_dalek::Signature::from_slice(parts.signature)
            .ok()
            // The highest bits of a scalar are never set.
            .filter(|_| parts.signature.last().is_some_and(|byte| byte & 0xe0 == 0))
            .ok_or(PrecompileError::InvalidSignature)?;
        let key = parts.key.try_into().map_err(|_| PrecompileError::InvalidPublicKey)?;
        ed25519_dalek::VerifyingKey::from_bytes(key)
            .map_err(|_| PrecompileError::InvalidPublicKey)?
            .verify_strict(parts.message, &signature)
            .map_err(|_| PrecompileError::InvalidSignature)?;
    }
    Ok(())
}

fn secp256r1(data: &[u8], instructions: &[&[u8]]) -> Result<(), PrecompileError> {
    let (count, entries) = wide_entries(data)?;
    if count == 0 || count > MOST_SECP256R1 {
        return Err(PrecompileError::InvalidInstructionDataSize);
    }
    for entry in entries {
        let parts = Parts::find(entry, data, instructions, 64, 33)?;
        let signature = p256::ecdsa::Signature::from_slice(parts.signature)
            .ok()
            // The other of two that verify is not accepted.
            .filter(|signature| signature.normalize_s().is_none())
            .ok_or(PrecompileError::InvalidSignature)?;
        p256::ecdsa::VerifyingKey::from_sec1_bytes(parts.key)
            .map_err(|_| PrecompileError::InvalidPublicKey)?
            .verify(parts.message, &signature)
            .map_err(|_| PrecompileError::InvalidSignature)?;
    }
    Ok(())
}

/// An entry of ed25519's and secp256r1's: offsets, instructions and a length, in two
/// bytes each.
type Wide = [u8; 14];

/// The number of signatures and their entries, which follow a byte that nobody reads.
fn wide_entries(data: &[u8]) -> Result<(u8, &[Wide]), PrecompileError> {
    let size = PrecompileError::InvalidInstructionDataSize;
    let [count, _, rest @ ..] = data else { return Err(size) };
    let (entries, _) = rest.as_chunks();
    Ok((*count, entries.get(..usize::from(*count)).ok_or(size)?))
}

/// What an entry points at.
struct Parts<'a> {
    signature: &'a [u8],
    key: &'a [u8],
    message: &'a [u8],
}

impl<'a> Parts<'a> {
    fn find(
        entry: &Wide,
        data: &'a [u8],
        instructions: &[&'a [u8]],
        signature_len: usize,
        key_len: usize,
    ) -> Result<Self, PrecompileError> {
        let (numbers, _) = entry.as_chunks();
        let [signature, signature_in, key, key_in, message, message_len, message_in] =
            <[[u8; 2]; 7]>::try_from(numbers)
                .map_err(|_| PrecompileError::InvalidInstructionDataSize)?
                .map(u16::from_le_bytes);
        let part = |instruction: u16, offset: u16, len: usize| {
            let bytes = match instruction {
                u16::MAX => Some(&data),
                instruction => instructions.get(usize::from(instruction)),
            };
            bytes
                .and_then(|bytes| slice(bytes, offset, len))
                .ok_or(PrecompileError::InvalidDataOffsets)
        };
        Ok(Self {
            signature: part(signature_in, signature, signature_len)?,
            key: part(key_in, key, key_len)?,
            message: part(message_in, message, usize::from(message_len))?,
        })
    }
}

fn slice(bytes: &[u8], offset: u16, len: usize) -> Option<&[u8]> {
    bytes.get(usize::from(offset)..)?.get(..len)
}

/// Checks that signatures are of Ethereum's addresses.
fn secp256k1(data: &[u8], instructions: &[&[u8]]) -> Result<(), PrecompileError> {
    let size = PrecompileError::InvalidInstructionDataSize;
    let Some((count, rest)) = data.split_first() else { return Err(size) };
    if *count == 0 && !rest.is_empty() {
        return Err(size);
    }
    let (entries, _) = rest.as_chunks::<11>();
    for entry in entries.get(..usize::from(*count)).ok_or(size)? {
        let [s0, s1, signature_in, a0, a1, address_in, m0, m1, l0, l1, message_in] = *entry;
        let part = |instruction: u8, offset: [u8; 2], len: usize| {
            let bytes = instructions
                .get(usize::from(instruction))
                .ok_or(PrecompileError::InvalidDataOffsets)?;
            slice(bytes, u16::from_le_bytes(offset), len).ok_or(PrecompileError::InvalidSignature)
        };
        if usize::from(signature_in) >= instructions.len() {
            return Err(PrecompileError::InvalidInstructionDataSize);
        }
        let signed = part(signature_in, [s0, s1], 65)?;
        let (recovery, signature) = signed.split_last().ok_or(PrecompileError::InvalidSignature)?;
        let signature =
            EcdsaSignature::from_slice(signature).map_err(|_| PrecompileError::InvalidSignature)?;
        let recovery =
            RecoveryId::from_byte(*recovery).ok_or(PrecompileError::InvalidRecoveryId)?;
        let address = part(address_in, [a0, a1], 20)?;
        let message = part(message_in, [m0, m1], usize::from(u16::from_le_bytes([l0, l1])))?;
        if recover(message, signature, recovery).as_deref() != Some(address) {
            return Err(PrecompileError::InvalidSignature);
        }
    }
    Ok(())
}

/// The Ethereum address that signed a message.
fn recover(
    message: &[u8],
    mut signature: EcdsaSignature,
    mut recovery: RecoveryId,
) -> Option<Vec<u8>> {
    // The other of two signatures is of the same key, seen from the other side.
    if let Some(low) = signature.normalize_s() {
        signature = low;
        recovery = RecoveryId::new(!recovery.is_y_odd(), recovery.is_x_reduced());
    }
    let hash = keccak256(message);
    let key = VerifyingKey::recover_from_prehash(hash.as_slice(), &signature, recovery).ok()?;
    let point = key.to_encoded_point(false);
    let hash = keccak256(point.as_bytes().get(1..)?);
    Some(hash.get(12..)?.to_vec())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]
mod tests {
    use super::*;
    use ed25519_dalek::Signer as _;

    /// Data in which all parts follow the entry.
    fn wide(signature: &[u8], key: &[u8], message: &[u8]) -> Vec<u8> {
        let at = 16_usize;
        let numbers = [
            at,
            0xffff,
            at + signature.len(),
            0xffff,
            at + signature.len() + key.len(),
            message.len(),
            0xffff,
        ];
        let mut data = vec![1, 0];
        data.extend(numbers.iter().flat_map(|number| (*number as u16).to_le_bytes()));
        [&data[..], signature, key, message].concat()
    }

    fn high(byte: &mut u8) {
        *byte ^= 1;
    }

    #[test]
    fn ed25519_signatures_are_checked() {
        let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        let message = b"who says so";
        let signature = key.sign(message).to_bytes();
        let data = wide(&signature, key.verifying_key().as_bytes(), message);
        assert_eq!(ed25519(&data, &[]), Ok(()));
        for at in 16..data.len() {
            let mut wrong = data.clone();
            high(&mut wrong[at]);
            assert!(ed25519(&wrong, &[]).is_err(), "byte {at}");
        }
        assert_eq!(ed25519(&[0, 0], &[]), Ok(()));
        assert_eq!(ed25519(&[0, 0, 0], &[]), Err(PrecompileError::InvalidInstructionDataSize));
        assert_eq!(ed25519(&[1, 0], &[]), Err(PrecompileError::InvalidInstructionDataSize));
        assert_eq!(ed25519(&data[..40], &[]), Err(PrecompileError::InvalidDataOffsets));
    }

    #[test]
    fn secp256r1_signatures_are_checked() {
        let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let message = b"who says so";
        let signature: p256::ecdsa::Signature = key.sign(message);
        let low = signature.normalize_s().unwrap_or(signature);
        let public = key.verifying_key().to_encoded_point(true);
        let data = wide(&low.to_bytes(), public.as_bytes(), message);
        assert_eq!(secp256r1(&data, &[]), Ok(()));
        let other = p256::ecdsa::Signature::from_scalars(low.r(), -*low.s()).unwrap();
        let other = wide(&other.to_bytes(), public.as_bytes(), message);
        assert_eq!(secp256r1(&other, &[]), Err(PrecompileError::InvalidSignature));
        for at in 16..data.len() {
            let mut wrong = data.clone();
            high(&mut wrong[at]);
            assert!(secp256r1(&wrong, &[]).is_err(), "byte {at}");
        }
        assert_eq!(secp256r1(&[0, 0], &[]), Err(PrecompileError::InvalidInstructionDataSize));
    }

    #[test]
    fn secp256k1_signatures_are_checked() {
        let key = k256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let message = b"who says so";
        let (signature, recovery) =
            key.sign_prehash_recoverable(keccak256(message).as_slice()).unwrap();
        let point = key.verifying_key().to_encoded_point(false);
        let address = keccak256(&point.as_bytes()[1..])[12..].to_vec();
        let data = |signature: &EcdsaSignature, recovery: u8| {
            let mut data = vec![1, 12, 0, 0, 77, 0, 0, 97, 0, message.len() as u8, 0, 0];
            data.extend_from_slice(&signature.to_bytes());
            data.push(recovery);
            [&data[..], &address[..], message].concat()
        };
        let right = data(&signature, recovery.to_byte());
        assert_eq!(secp256k1(&right, &[&right]), Ok(()));
        // Here the other signature is accepted as well.
        let other = EcdsaSignature::from_scalars(signature.r(), -*signature.s()).unwrap();
        let mirrored = data(&other, recovery.to_byte() ^ 1);
        assert_eq!(secp256k1(&mirrored, &[&mirrored]), Ok(()));
        for at in 12..right.len() {
            let mut wrong = right.clone();
            high(&mut wrong[at]);
            assert!(secp256k1(&wrong, &[&wrong]).is_err(), "byte {at}");
        }
        let unknown = data(&signature, 4);
        assert_eq!(secp256k1(&unknown, &[&unknown]), Err(PrecompileError::InvalidRecoveryId));
        assert_eq!(secp256k1(&right, &[]), Err(PrecompileError::InvalidInstructionDataSize));
        assert_eq!(secp256k1(&[0], &[]), Ok(()));
        assert_eq!(secp256k1(&[0, 1], &[]), Err(PrecompileError::InvalidInstructionDataSize));
        assert_eq!(secp256k1(&[], &[]), Err(PrecompileError::InvalidInstructionDataSize));
    }
}

//! What is wrong with bytes that do not decode, under the names that the tests
//! have for it.
//!
//! The machine's decoder says only that a transaction is malformed. A test that
//! expects, say, a blob transaction without a recipient is passed only if that
//! is indeed what its bytes are.

use alloy_rlp::{Error, Header, PayloadView};

/// Bytes do not decode. Stands beside the precise names.
pub(crate) const MALFORMED: &str = "MALFORMED";

/// Where a type's fields stand.
struct Layout {
    /// How many there are.
    fields: usize,
    nonce: usize,
    gas_limit: usize,
}

impl Layout {
    const fn of(tx_type: u8) -> Option<Self> {
        let (fields, nonce, gas_limit) = match tx_type {
            0 => (9, 0, 2),
            1 => (11, 1, 3),
            2 => (12, 1, 4),
            3 => (14, 1, 4),
            4 => (13, 1, 4),
            _ => return None,
        };
        Some(Self { fields, nonce, gas_limit })
    }
}

/// The items of a list, each with its own header. The list must be all of
/// `bytes`.
pub(crate) fn list(bytes: &[u8]) -> Result<Vec<&[u8]>, Error> {
    let mut rest = bytes;
    match Header::decode_raw(&mut rest)? {
        PayloadView::List(_) if !rest.is_empty() => Err(Error::UnexpectedLength),
        PayloadView::List(items) => Ok(items),
        PayloadView::String(_) => Err(Error::UnexpectedString),
    }
}

/// The bytes of an item that is a string.
fn string(item: &[u8]) -> Option<&[u8]> {
    Header::decode_bytes(&mut &*item, false).ok()
}

/// The names for what is wrong with a transaction that does not decode.
pub(crate) fn faults(raw: &[u8]) -> Vec<&'static str> {
    let mut names = vec![MALFORMED];
    let (tx_type, payload) = match raw.split_first() {
        Some((first, payload)) if *first < 0x80 => (*first, payload),
        _ => (0, raw),
    };
    let Some(layout) = Layout::of(tx_type) else {
        names.push("TYPE_NOT_SUPPORTED");
        return names;
    };
    let Ok(items) = list(payload) else { return names };
    if items.len() != layout.fields {
        // With its blobs a transaction is one item of several.
        let nested = items.first().is_some_and(|first| list(first).is_ok());
        if tx_type == 3 && nested {
            names.push("TYPE_3_TX_WITH_FULL_BLOBS");
        }
        return names;
    }
    let field = |at: usize| items.get(at).and_then(|item| string(item));
    let longer = |at: usize, bytes: usize| field(at).is_some_and(|field| field.len() > bytes);
    if longer(layout.nonce, 8) {
        names.push("NONCE_OVERFLOW");
    }
    if longer(layout.gas_limit, 8) {
        names.push("GASLIMIT_OVERFLOW");
    }
    if longer(layout.nonce + 1, 16) {
        // More than the decoder's 128 bits, and than any balance pays for.
        names.push("GASPRICE_OVERFLOW");
    }
    let (to, value) = (layout.gas_limit + 1, layout.gas_limit + 2);
    if longer(value, 32) {
        names.push("VALUE_OVERFLOW");
    }
    match (field(to).map(<[u8]>::len), tx_type) {
        (Some(0), 3) => names.push("TYPE_3_TX_CONTRACT_CREATION"),
        (Some(0), 4) => names.push("TYPE_4_TX_CONTRACT_CREATION"),
        (None | Some(0 | 20), _) => {}
        (Some(length), _) if length < 20 => names.push("ADDRESS_TOO_SHORT"),
        (Some(_), _) => names.push("ADDRESS_TOO_LONG"),
    }
    if tx_type == 4 && names == [MALFORMED] {
        names.push("TYPE_4_INVALID_AUTHORIZATION_FORMAT");
    }
    names
}

#[cfg(test)]
mod tests {
    use alloy_rlp::Encodable;
    use proptest::prelude::*;

    use super::*;

    fn transaction(tx_type: u8, fields: &[&[u8]]) -> Vec<u8> {
        let mut raw = if tx_type == 0 { vec![] } else { vec![tx_type] };
        let payload: Vec<u8> = fields.iter().flat_map(|field| alloy_rlp::encode(*field)).collect();
        Header { list: true, payload_length: payload.len() }.encode(&mut raw);
        raw.extend(payload);
        raw
    }

    #[test]
    fn each_fault_has_its_name() {
        let to = [9_u8; 20];
        let one: &[u8] = &[1];
        let fields = |tx_type: u8| {
            let layout = Layout::of(tx_type).unwrap();
            let mut fields = vec![one; layout.fields];
            fields[layout.gas_limit + 1] = &to;
            (layout, fields)
        };
        let names = |tx_type, fields: &[&[u8]]| faults(&transaction(tx_type, fields))[1..].to_vec();
        for tx_type in 0..4 {
            let (layout, mut valid) = fields(tx_type);
            assert!(names(tx_type, &valid).is_empty());
            valid[layout.nonce] = &[1; 9];
            valid[layout.nonce + 1] = &[1; 17];
            valid[layout.gas_limit] = &[1; 9];
            valid[layout.gas_limit + 1] = &[1; 19];
            valid[layout.gas_limit + 2] = &[1; 33];
            assert_eq!(
                names(tx_type, &valid),
                [
                    "NONCE_OVERFLOW",
                    "GASLIMIT_OVERFLOW",
                    "GASPRICE_OVERFLOW",
                    "VALUE_OVERFLOW",
                    "ADDRESS_TOO_SHORT"
                ]
            );
        }
        for (tx_type, name) in
            [(3, "TYPE_3_TX_CONTRACT_CREATION"), (4, "TYPE_4_TX_CONTRACT_CREATION")]
        {
            let (layout, mut creation) = fields(tx_type);
            creation[layout.gas_limit + 1] = &[];
            assert_eq!(names(tx_type, &creation), [name]);
        }
        assert_eq!(names(5, &[]), ["TYPE_NOT_SUPPORTED"]);
    }

    #[test]
    fn a_list_is_the_whole_of_its_bytes() {
        let mut bytes = Vec::new();
        vec![1_u64, 2].encode(&mut bytes);
        assert_eq!(list(&bytes).unwrap(), [[1], [2]]);
        bytes.push(0);
        assert!(list(&bytes).is_err());
        assert!(list(&[0x80]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_have_faults(bytes: Vec<u8>) {
            prop_assert_eq!(faults(&bytes)[0], MALFORMED);
        }
    }
}

//! A small assembler for Ethereum's machine.
//!
//! A program is a list of words between blanks; what stands behind a `;` is a comment.
//!
//! | word | becomes |
//! | --- | --- |
//! | an instruction's name (`ADD`, `PUSH0`, `PREVRANDAO` …) | the instruction |
//! | a number, decimal or `0x…` | the shortest `PUSH` of it |
//! | `name:` | `JUMPDEST`, a place to jump to |
//! | `@name` | `PUSH2` of that place |
//! | `selector:transfer(address,uint256)` | `PUSH4` of the first four bytes of the keccak-256 |
//! | `topic:Transfer(address,address,uint256)` | `PUSH32` of the keccak-256 |

use std::collections::BTreeMap;

use alloy_primitives::{Bytes, U256, keccak256};
use revm::bytecode::opcode::{OpCode, PUSH0, PUSH1, PUSH2, PUSH4, PUSH32};

/// Why a program cannot be assembled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// A word means nothing.
    #[error("line {line}: `{word}` is no instruction, number or label")]
    Word {
        /// The line, from 1.
        line: usize,
        /// The word.
        word: String,
    },
    /// Two places have the same name.
    #[error("line {line}: label `{label}` is defined twice")]
    Twice {
        /// The line, from 1.
        line: usize,
        /// The label.
        label: String,
    },
    /// A place that is jumped to is not there.
    #[error("label `{label}` is not defined")]
    Undefined {
        /// The label.
        label: String,
    },
    /// The code is too long for `PUSH2`.
    #[error("the code has {0} bytes, more than 65,535")]
    TooLong(usize),
}

/// Assembles a program.
///
/// ```
/// use polity_testkit::chain::assemble;
///
/// assert_eq!(assemble("loop: @loop JUMP ; for ever").unwrap().to_string(), "0x5b61000056");
/// ```
///
/// # Errors
/// The first word that means nothing.
pub fn assemble(source: &str) -> Result<Bytes, AssembleError> {
    let mut code = Vec::new();
    let mut labels = BTreeMap::new();
    let mut jumps = Vec::new();
    for (line, text) in (1..).zip(source.lines()) {
        let text = text.split(';').next().unwrap_or_default();
        for word in text.split_whitespace() {
            if let Some(label) = word.strip_suffix(':') {
                if labels.insert(label, code.len()).is_some() {
                    return Err(AssembleError::Twice { line, label: label.into() });
                }
                code.push(OpCode::JUMPDEST.get());
            } else if let Some(label) = word.strip_prefix('@') {
                code.push(PUSH2);
                jumps.push((code.len(), label));
                code.extend([0, 0]);
            } else if let Some(signature) = word.strip_prefix("selector:") {
                code.push(PUSH4);
                code.extend(keccak256(signature).iter().take(4));
            } else if let Some(signature) = word.strip_prefix("topic:") {
                code.push(PUSH32);
                code.extend(keccak256(signature));
            } else if let Some(opcode) = instruction(word) {
                code.push(opcode);
            } else if let Ok(number) = word.parse::<U256>() {
                push(number, &mut code);
            } else {
                return Err(AssembleError::Word { line, word: word.into() });
            }
        }
    }
    if code.len() > usize::from(u16::MAX) {
        return Err(AssembleError::TooLong(code.len()));
    }
    for (at, label) in jumps {
        let to =
            labels.get(label).ok_or_else(|| AssembleError::Undefined { label: label.into() })?;
        for (byte, value) in code.iter_mut().skip(at).zip((*to as u16).to_be_bytes()) {
            *byte = value;
        }
    }
    Ok(code.into())
}

/// The code that runs `constructor` and then deploys `runtime`. Arguments may be put behind it.
///
/// # Errors
/// As [`assemble`].
pub fn deployment(constructor: &str, runtime: &[u8]) -> Result<Bytes, AssembleError> {
    // Pushes of a fixed size, so that the length of this part is known.
    const TAIL: usize = 12;
    let mut code = assemble(constructor)?.to_vec();
    let start = code.len().saturating_add(TAIL);
    let length = u16::try_from(runtime.len()).map_err(|_| AssembleError::TooLong(runtime.len()))?;
    let start = u16::try_from(start).map_err(|_| AssembleError::TooLong(start))?;
    code.push(PUSH2);
    code.extend(length.to_be_bytes());
    code.push(OpCode::DUP1.get());
    code.push(PUSH2);
    code.extend(start.to_be_bytes());
    code.extend([PUSH0, OpCode::CODECOPY.get(), PUSH0, OpCode::RETURN.get()]);
    code.push(OpCode::INVALID.get());
    code.extend_from_slice(runtime);
    Ok(code.into())
}

fn instruction(name: &str) -> Option<u8> {
    // It was renamed when it got a new meaning.
    let name = if name == "PREVRANDAO" { "DIFFICULTY" } else { name };
    (0..=u8::MAX).find(|byte| OpCode::new(*byte).is_some_and(|opcode| opcode.as_str() == name))
}

fn push(number: U256, code: &mut Vec<u8>) {
    let length = number.byte_len();
    if length == 0 {
        return code.push(PUSH0);
    }
    code.push(PUSH1.saturating_add(length.saturating_sub(1) as u8));
    code.extend(number.to_be_bytes::<32>().iter().skip(32_usize.saturating_sub(length)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_bytes() {
        for (source, code) in [
            ("", "0x"),
            ("0 1 256 0xff", "0x5f600161010060ff"),
            ("ADD ; comment\n SUB", "0x0103"),
            ("PREVRANDAO", "0x44"),
            ("@end end: STOP", "0x6100035b00"),
            ("selector:transfer(address,uint256)", "0x63a9059cbb"),
        ] {
            assert_eq!(assemble(source).unwrap().to_string(), code, "{source}");
        }
        let topic = assemble("topic:Transfer(address,address,uint256)").unwrap();
        assert!(topic.to_string().starts_with("0x7fddf252ad"));
    }

    #[test]
    fn mistakes_are_named() {
        let word = |line, word: &str| AssembleError::Word { line, word: word.into() };
        assert_eq!(assemble("ADD\n ADDD"), Err(word(2, "ADDD")));
        assert_eq!(assemble("-1"), Err(word(1, "-1")));
        assert_eq!(assemble("@no"), Err(AssembleError::Undefined { label: "no".into() }));
        assert_eq!(assemble("a:\na:"), Err(AssembleError::Twice { line: 2, label: "a".into() }));
        assert_eq!(assemble(&"ADD ".repeat(65_536)), Err(AssembleError::TooLong(65_536)));
    }

    #[test]
    fn a_deployment_returns_the_runtime_code() {
        let code = deployment("1 0 SSTORE", &[0xaa, 0xbb]).unwrap();
        // PUSH1 1, PUSH0, SSTORE; PUSH2 2, DUP1, PUSH2 16, PUSH0, CODECOPY, PUSH0, RETURN, INVALID.
        assert_eq!(code.to_string(), "0x60015f556100028061 00105f395ff3feaabb".replace(' ', ""));
    }
}

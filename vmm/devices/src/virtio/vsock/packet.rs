//! The 44-byte header of every packet.

pub(super) const HEADER_BYTES: usize = 44;
/// The only socket type served.
pub(super) const TYPE_STREAM: u16 = 1;

/// Flags of a SHUTDOWN packet, from its sender's view.
pub(super) mod shutdown {
    /// The sender will receive no more.
    pub(in super::super) const RECEIVE: u32 = 1;
    /// The sender will send no more.
    pub(in super::super) const SEND: u32 = 2;
    pub(in super::super) const BOTH: u32 = RECEIVE | SEND;
}

/// What a packet does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Request,
    Response,
    Reset,
    Shutdown,
    Data,
    CreditUpdate,
    CreditRequest,
    /// A number without meaning.
    Unknown(u16),
}

impl From<u16> for Operation {
    fn from(number: u16) -> Self {
        match number {
            1 => Operation::Request,
            2 => Operation::Response,
            3 => Operation::Reset,
            4 => Operation::Shutdown,
            5 => Operation::Data,
            6 => Operation::CreditUpdate,
            7 => Operation::CreditRequest,
            other => Operation::Unknown(other),
        }
    }
}

impl From<Operation> for u16 {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Request => 1,
            Operation::Response => 2,
            Operation::Reset => 3,
            Operation::Shutdown => 4,
            Operation::Data => 5,
            Operation::CreditUpdate => 6,
            Operation::CreditRequest => 7,
            Operation::Unknown(other) => other,
        }
    }
}

/// All fields, in their order on the wire (little-endian, unpadded).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) source_cid: u64,
    pub(super) destination_cid: u64,
    pub(super) source_port: u32,
    pub(super) destination_port: u32,
    pub(super) length: u32,
    pub(super) socket_type: u16,
    pub(super) operation: Operation,
    pub(super) flags: u32,
    pub(super) buf_alloc: u32,
    pub(super) fwd_cnt: u32,
}

impl Header {
    pub(super) fn parse(bytes: &[u8; HEADER_BYTES]) -> Self {
        let mut rest = bytes.as_slice();
        Header {
            source_cid: u64::from_le_bytes(take(&mut rest)),
            destination_cid: u64::from_le_bytes(take(&mut rest)),
            source_port: u32::from_le_bytes(take(&mut rest)),
            destination_port: u32::from_le_bytes(take(&mut rest)),
            length: u32::from_le_bytes(take(&mut rest)),
            socket_type: u16::from_le_bytes(take(&mut rest)),
            operation: u16::from_le_bytes(take(&mut rest)).into(),
            flags: u32::from_le_bytes(take(&mut rest)),
            buf_alloc: u32::from_le_bytes(take(&mut rest)),
            fwd_cnt: u32::from_le_bytes(take(&mut rest)),
        }
    }

    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut rest = bytes.as_mut_slice();
        put(&mut rest, self.source_cid.to_le_bytes());
        put(&mut rest, self.destination_cid.to_le_bytes());
        put(&mut rest, self.source_port.to_le_bytes());
        put(&mut rest, self.destination_port.to_le_bytes());
        put(&mut rest, self.length.to_le_bytes());
        put(&mut rest, self.socket_type.to_le_bytes());
        put(&mut rest, u16::from(self.operation).to_le_bytes());
        put(&mut rest, self.flags.to_le_bytes());
        put(&mut rest, self.buf_alloc.to_le_bytes());
        put(&mut rest, self.fwd_cnt.to_le_bytes());
        bytes
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (field, after) = rest
        .split_first_chunk()
        .expect("the fields are as long as the header together");
    *rest = after;
    *field
}

fn put<const N: usize>(rest: &mut &mut [u8], field: [u8; N]) {
    let (place, after) = std::mem::take(rest)
        .split_first_chunk_mut()
        .expect("the fields are as long as the header together");
    *place = field;
    *rest = after;
}

#[cfg(test)]
#[path = "packet_test.rs"]
mod tests;

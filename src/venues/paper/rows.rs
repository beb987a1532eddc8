//! Rows of `paper.db` as orders and fills. No SQL but the names of the columns.

use rusqlite::Row;

use super::market::find;
use super::order::{Fill, Liquidity, NewOrder, Order, OrderType, Side, Status};
use super::store::StoreError;

/// The columns of an order, in the order in which [`collect_orders`] reads them.
pub const ORDER_COLUMNS: &str = "number, account, client_order_id, market, side, kind, price, quantity, \
     expires_at_ms, signer, signature, digest, filled_lots, status, accepted_at_ms, closed_at_ms, \
     reason";

/// The columns of a fill, in the order in which [`collect_fills`] reads them.
pub const FILL_COLUMNS: &str = "id, account, number, client_order_id, market, side, ticks, lots, \
     fee_units, liquidity, at_ms";

/// Reads every order of a result whose columns are [`ORDER_COLUMNS`].
///
/// # Errors
///
/// [`StoreError`], when a row cannot be read.
pub fn collect_orders(mut rows: rusqlite::Rows<'_>) -> Result<Vec<Order>, StoreError> {
    let mut orders = Vec::new();
    while let Some(row) = rows.next()? {
        orders.push(read_order(row)?);
    }
    Ok(orders)
}

/// Reads every fill of a result whose columns are [`FILL_COLUMNS`].
///
/// # Errors
///
/// [`StoreError`], when a row cannot be read.
pub fn collect_fills(mut rows: rusqlite::Rows<'_>) -> Result<Vec<Fill>, StoreError> {
    let mut fills = Vec::new();
    while let Some(row) = rows.next()? {
        fills.push(read_fill(row)?);
    }
    Ok(fills)
}

fn read_order(row: &Row<'_>) -> Result<Order, StoreError> {
    let terms = NewOrder {
        client_order_id: row.get(2)?,
        market: row.get(3)?,
        side: word(row, 4, "side", Side::from_word)?,
        kind: word(row, 5, "kind", OrderType::from_word)?,
        price: row.get(6)?,
        quantity: row.get(7)?,
        expires_at_ms: unsigned(row.get(8)?),
        signer: row.get(9)?,
        signature: row.get(10)?,
        digest: row.get(11)?,
    };
    Ok(Order {
        number: unsigned(row.get(0)?),
        account: row.get::<_, String>(1)?.into(),
        terms,
        filled_lots: unsigned(row.get(12)?),
        status: word(row, 13, "status", Status::from_word)?,
        accepted_at_ms: unsigned(row.get(14)?),
        closed_at_ms: row.get::<_, Option<i64>>(15)?.map(unsigned),
        reason: row.get(16)?,
    })
}

fn read_fill(row: &Row<'_>) -> Result<Fill, StoreError> {
    let liquidity = |text: &str| {
        [Liquidity::Maker, Liquidity::Taker]
            .into_iter()
            .find(|liquidity| liquidity.word() == text)
    };
    Ok(Fill {
        id: unsigned(row.get(0)?),
        account: row.get::<_, String>(1)?.into(),
        order_number: unsigned(row.get(2)?),
        client_order_id: row.get(3)?,
        market: market(row, 4)?,
        side: word(row, 5, "side", Side::from_word)?,
        ticks: unsigned(row.get(6)?),
        lots: unsigned(row.get(7)?),
        fee_units: number(row, 8, "fee_units")?,
        liquidity: word(row, 9, "liquidity", liquidity)?,
        at_ms: unsigned(row.get(10)?),
    })
}

fn word<T>(
    row: &Row<'_>,
    index: usize,
    column: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, StoreError> {
    read(&row.get::<_, String>(index)?).ok_or(StoreError::Corrupt { column })
}

/// A whole number that is stored as text.
///
/// # Errors
///
/// [`StoreError::Corrupt`], when it is none.
pub fn number(row: &Row<'_>, index: usize, column: &'static str) -> Result<i128, StoreError> {
    row.get::<_, String>(index)?
        .parse()
        .map_err(|_| StoreError::Corrupt { column })
}

/// The index of the market that a column names.
///
/// # Errors
///
/// [`StoreError::Corrupt`], when there is no such market.
pub fn market(row: &Row<'_>, index: usize) -> Result<usize, StoreError> {
    let name = row.get::<_, String>(index)?;
    find(&name)
        .map(|(index, _)| index)
        .ok_or(StoreError::Corrupt { column: "market" })
}

/// As SQLite stores it. Every number of the venue is bounded far below 2^63 at its door.
pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// As it was before [`signed`].
pub fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

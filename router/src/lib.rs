//! The router: claim, admit, route, state, lanes, transactions.

'use strict'

const avro = require('avsc')

// avsc leaves logical types to the program: a date as YYYY-MM-DD.
class CalendarDate extends avro.types.LogicalType {
  _fromValue(days) { return new Date(days * 86400000).toISOString().slice(0, 10) }
  _toValue(text) { return Date.parse(text) / 86400000 }
}

module.exports = { CalendarDate }

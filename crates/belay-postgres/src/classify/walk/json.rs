//! The SQL/JSON forms.

use super::Walk;
use super::value::Kind;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    JsonAggConstructor, JsonArgument, JsonArrayAgg, JsonArrayConstructor, JsonArrayQueryConstructor, JsonBehavior,
    JsonExprOp, JsonFuncExpr, JsonIsPredicate, JsonKeyValue, JsonObjectAgg, JsonObjectConstructor, JsonOutput,
    JsonParseExpr, JsonScalarExpr, JsonSerializeExpr, JsonTable, JsonTableColumn, JsonTablePathSpec, JsonValueExpr,
};

impl<'a> Walk<'a> {
    pub(super) fn json(&mut self, kind: &'a NodeEnum) {
        match kind {
            NodeEnum::JsonValueExpr(value) => self.json_value(Some(value)),
            NodeEnum::JsonArgument(argument) => {
                let JsonArgument { val, name: _ } = argument.as_ref();
                self.json_value(val.as_deref());
            }
            NodeEnum::JsonKeyValue(pair) => self.json_pair(Some(pair)),
            NodeEnum::JsonBehavior(behavior) => self.json_behavior(Some(behavior)),
            NodeEnum::JsonOutput(output) => self.json_output(Some(output)),
            NodeEnum::JsonIsPredicate(test) => {
                let JsonIsPredicate { expr, format: _, item_type: _, unique_keys: _, location: _ } = test.as_ref();
                self.optional(expr.as_deref());
            }
            NodeEnum::JsonParseExpr(parse) => {
                let JsonParseExpr { expr, output, unique_keys: _, location: _ } = parse.as_ref();
                self.may_call("json");
                self.converted("", "json", Kind::Any);
                self.json_value(expr.as_deref());
                self.json_output(output.as_ref());
            }
            NodeEnum::JsonScalarExpr(scalar) => {
                let JsonScalarExpr { expr, output, location: _ } = scalar.as_ref();
                self.may_call("json_scalar");
                self.optional(expr.as_deref());
                self.json_output(output.as_ref());
            }
            NodeEnum::JsonSerializeExpr(serialize) => {
                let JsonSerializeExpr { expr, output, location: _ } = serialize.as_ref();
                self.may_call("json_serialize");
                self.json_value(expr.as_deref());
                self.json_output(output.as_ref());
            }
            _ => self.json_constructor(kind),
        }
    }

    fn json_constructor(&mut self, kind: &'a NodeEnum) {
        match kind {
            NodeEnum::JsonObjectConstructor(object) => {
                let JsonObjectConstructor { exprs, output, absent_on_null: _, unique: _, location: _ } = object;
                self.may_call("json_object");
                self.nodes(exprs);
                self.json_output(output.as_ref());
            }
            NodeEnum::JsonArrayConstructor(array) => {
                let JsonArrayConstructor { exprs, output, absent_on_null: _, location: _ } = array;
                self.may_call("json_array");
                self.nodes(exprs);
                self.json_output(output.as_ref());
            }
            NodeEnum::JsonArrayQueryConstructor(array) => {
                let JsonArrayQueryConstructor { query, output, format: _, absent_on_null: _, location: _ } =
                    array.as_ref();
                self.may_call("json_array");
                self.optional(query.as_deref());
                self.json_output(output.as_ref());
            }
            NodeEnum::JsonObjectAgg(aggregate) => {
                let JsonObjectAgg { constructor, arg, absent_on_null: _, unique: _ } = aggregate.as_ref();
                self.may_call("json_objectagg");
                self.json_aggregate(constructor.as_deref());
                self.json_pair(arg.as_deref());
            }
            NodeEnum::JsonArrayAgg(aggregate) => {
                let JsonArrayAgg { constructor, arg, absent_on_null: _ } = aggregate.as_ref();
                self.may_call("json_arrayagg");
                self.json_aggregate(constructor.as_deref());
                self.json_value(arg.as_deref());
            }
            NodeEnum::JsonFuncExpr(function) => self.json_function(function),
            NodeEnum::JsonTableColumn(column) => self.json_table_column(column),
            NodeEnum::JsonTablePathSpec(path) => self.json_path(Some(path)),
            _ => self.not_understood(),
        }
    }

    fn json_function(&mut self, function: &'a JsonFuncExpr) {
        let JsonFuncExpr {
            op,
            column_name: _,
            context_item,
            pathspec,
            passing,
            output,
            on_empty,
            on_error,
            wrapper: _,
            quotes: _,
            location: _,
        } = function;
        self.may_call(match JsonExprOp::try_from(*op).unwrap_or_default() {
            JsonExprOp::JsonExistsOp => "json_exists",
            JsonExprOp::JsonValueOp => "json_value",
            JsonExprOp::JsonQueryOp | JsonExprOp::JsonTableOp | JsonExprOp::Undefined => "json_query",
        });
        self.json_value(context_item.as_deref());
        self.optional(pathspec.as_deref());
        self.nodes(passing);
        self.json_output(output.as_ref());
        self.json_behavior(on_empty.as_deref());
        self.json_behavior(on_error.as_deref());
    }

    pub(super) fn json_table(&mut self, table: &'a JsonTable) {
        let JsonTable { context_item, pathspec, passing, columns, on_error, alias: _, lateral: _, location: _ } = table;
        self.json_value(context_item.as_deref());
        self.json_path(pathspec.as_deref());
        self.nodes(passing);
        self.nodes(columns);
        self.json_behavior(on_error.as_deref());
    }

    fn json_table_column(&mut self, column: &'a JsonTableColumn) {
        let JsonTableColumn {
            coltype: _,
            name: _,
            type_name,
            pathspec,
            format: _,
            wrapper: _,
            quotes: _,
            columns,
            on_empty,
            on_error,
            location: _,
        } = column;
        self.type_name(type_name.as_ref());
        self.json_path(pathspec.as_deref());
        self.nodes(columns);
        self.json_behavior(on_empty.as_deref());
        self.json_behavior(on_error.as_deref());
    }

    fn json_path(&mut self, path: Option<&'a JsonTablePathSpec>) {
        if let Some(JsonTablePathSpec { string, name: _, name_location: _, location: _ }) = path {
            self.optional(string.as_deref());
        }
    }

    fn json_value(&mut self, value: Option<&'a JsonValueExpr>) {
        if let Some(JsonValueExpr { raw_expr, formatted_expr, format: _ }) = value {
            self.all_of([raw_expr, formatted_expr]);
        }
    }

    fn json_pair(&mut self, pair: Option<&'a JsonKeyValue>) {
        if let Some(JsonKeyValue { key, value }) = pair {
            self.optional(key.as_deref());
            self.json_value(value.as_deref());
        }
    }

    fn json_behavior(&mut self, behavior: Option<&'a JsonBehavior>) {
        if let Some(JsonBehavior { btype: _, expr, coerce: _, location: _ }) = behavior {
            self.optional(expr.as_deref());
        }
    }

    fn json_output(&mut self, output: Option<&'a JsonOutput>) {
        if let Some(JsonOutput { type_name, returning: _ }) = output {
            self.type_name(type_name.as_ref());
        }
    }

    fn json_aggregate(&mut self, constructor: Option<&'a JsonAggConstructor>) {
        if let Some(JsonAggConstructor { output, agg_filter, agg_order, over, location: _ }) = constructor {
            self.json_output(output.as_ref());
            self.optional(agg_filter.as_deref());
            self.nodes(agg_order);
            if let Some(window) = over {
                self.window(window);
            }
        }
    }
}

"""
What stands in for a Databricks SQL warehouse: the Thrift service that the driver itself ships, with one row to give.

The driver's package has both halves of the protocol, generated from Databricks' own definition; this is the other one.
"""

from __future__ import annotations

from typing import Any


class Warehouse:
    """Answer sessions and statements; the names are those of the protocol."""

    def OpenSession(self, request: Any) -> Any:
        types = _types()
        handle = types.TSessionHandle(types.THandleIdentifier(guid=b"g" * 16, secret=b"s" * 16), 0)
        return types.TOpenSessionResp(
            status=_success(),
            serverProtocolVersion=types.TProtocolVersion.SPARK_CLI_SERVICE_PROTOCOL_V7,
            sessionHandle=handle,
            canUseMultipleCatalogs=True,
        )

    def ExecuteStatement(self, request: Any) -> Any:
        types = _types()
        entry = types.TPrimitiveTypeEntry(types.TTypeId.STRING_TYPE)
        column = types.TColumnDesc("one", types.TTypeDesc([types.TTypeEntry(primitiveEntry=entry)]), 1)
        metadata = types.TGetResultSetMetadataResp(
            status=_success(),
            schema=types.TTableSchema([column]),
            resultFormat=types.TSparkRowSetType.COLUMN_BASED_SET,
            lz4Compressed=False,
        )
        rows = types.TRowSet(
            0, [], columns=[types.TColumn(stringVal=types.TStringColumn(["one"], b"\0"))], columnCount=1
        )
        return types.TExecuteStatementResp(
            status=_success(),
            operationHandle=types.TOperationHandle(types.THandleIdentifier(b"o" * 16, b"s" * 16), 0, True),
            directResults=types.TSparkDirectResults(
                operationStatus=types.TGetOperationStatusResp(
                    status=_success(), operationState=types.TOperationState.FINISHED_STATE
                ),
                resultSetMetadata=metadata,
                resultSet=types.TFetchResultsResp(status=_success(), hasMoreRows=False, results=rows),
                closeOperation=types.TCloseOperationResp(_success()),
            ),
        )

    def CloseSession(self, request: Any) -> Any:
        return _types().TCloseSessionResp(_success())


def call(body: bytes) -> bytes:
    """Answer one call."""
    from databricks.sql.thrift_api.TCLIService import TCLIService
    from thrift.protocol.TBinaryProtocol import TBinaryProtocol
    from thrift.transport.TTransport import TMemoryBuffer

    reply = TMemoryBuffer()
    TCLIService.Processor(Warehouse()).process(TBinaryProtocol(TMemoryBuffer(body)), TBinaryProtocol(reply))
    return bytes(reply.getvalue())


def _types() -> Any:
    from databricks.sql.thrift_api.TCLIService import ttypes

    return ttypes


def _success() -> Any:
    types = _types()
    return types.TStatus(types.TStatusCode.SUCCESS_STATUS)

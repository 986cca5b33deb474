"""The paths of rooms: make, list, enter, delete. Who is a member is the room service's word, never this module's."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from stompgate.model.causes import Cause, Refusal

from .answers import json_answer, text_answer
from .objects import PROBLEMS, RoomUserObject, created_room_user_object, room_user_object
from .parts import HttpParts, HttpSettings
from .requests import auth_user, check_text, operators_only

ROOM_ID_LIMIT_CHARS = 255

User = Annotated[str, Depends(auth_user)]
RoomId = Annotated[str, Path(alias="roomUUID", description="The room's UUID.")]


def room_id(room: RoomId) -> str:
    """Return the room of the path. What cannot be a room's id is an unknown room: ``Refusal`` (NO_SUCH_ROOM)."""
    if len(room) > ROOM_ID_LIMIT_CHARS or not room.isprintable():
        raise Refusal(Cause.NO_SUCH_ROOM)
    return room


Room = Annotated[str, Depends(room_id)]


def room_routes(parts: HttpParts, settings: HttpSettings) -> APIRouter:
    """Return the routes below ``/room``."""
    routes = APIRouter(prefix="/room", tags=["rooms"], responses=PROBLEMS)
    rooms = parts.rooms

    @routes.post("/create", response_model=list[RoomUserObject], summary="Make a room")
    async def create(
        buyer: User,
        seller: Annotated[str, Query(alias="user", description="The seller's user id.")],
        product_name: Annotated[str, Query(alias="name", description="The product's name.")],
    ) -> Response:
        """The caller is the buyer. Answers the seller's row, then the buyer's; asked again, those of the room that exists."""
        check_text(seller, "The query parameter user")
        check_text(product_name, "The query parameter name")
        made = await rooms.create(buyer=buyer, seller=seller, product_name=product_name)
        return json_answer([created_room_user_object(row) for row in made])

    @routes.get(
        "/rooms",
        response_model=list[RoomUserObject],
        summary="List every room",
        dependencies=[Depends(operators_only(settings))],
    )
    async def every_room() -> Response:
        """Every member's row of every room. For operators."""
        return json_answer([room_user_object(row) for row in await rooms.every_room_user()])

    @routes.get("/list", response_model=list[RoomUserObject], summary="List my rooms")
    async def mine(user: User) -> Response:
        """The caller's rows, in the order of their making."""
        return json_answer([room_user_object(row) for row in await rooms.of_user(user)])

    @routes.get("/enter/{roomUUID}", response_model=RoomUserObject, summary="Enter a room")
    @routes.get("/{roomUUID}", response_model=RoomUserObject, summary="Show a room")
    async def one(room: Room, user: User) -> Response:
        """The caller's row. A room of others is answered like one that does not exist."""
        return json_answer(room_user_object(await rooms.room_user(room, user)))

    @routes.delete("/delete/{roomUUID}", response_model=str, summary="Delete a room")
    async def delete(room: Room, user: User) -> Response:
        """Answers the text `success`. Messages and members go with the room, for both."""
        await rooms.delete(room, user)
        return text_answer("success")

    return routes

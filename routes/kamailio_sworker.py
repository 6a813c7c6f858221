"""The example of Kamailio's sworker documentation, in Kamailio's words. Its lines stand beside ours as comments."""

from trio_sip import Frame, Request, Router, WorkerGroup
from trio_sip.kamailio import drop, forward, is_method, pv_set, sl_send_reply, sworker_active, sworker_task, xinfo

router = Router(groups=[WorkerGroup("default", workers=4)])  # async_workers_group="name=default;workers=4"


@router.pre_routing
def pre_routing(frame: Frame) -> None:  # event_route[core:pre-routing] {
    pv_set("$var(xdata)", frame.source.host)  # $var(xdata) = $si;  (modparam: xdata is "$var(xdata)")
    if sworker_task("default"):  # if (sworker_task("default")) {
        xinfo("===== delegate processing [$Tf] [$si:$sp]\n")  # xinfo(...);
        drop()  # drop; }
    xinfo("===== processing continues [$Tf] [$si:$sp]\n")  # xinfo(...); }


@router.request_route
async def request_route(request: Request) -> None:  # request_route {
    if sworker_active():  # if (sworker_active()) {
        xinfo("===== in a worker, xdata $var(xdata)\n")  # xinfo(...); }
    if is_method("OPTIONS|REGISTER"):  # if (is_method("OPTIONS|REGISTER")) {
        sl_send_reply(200, "OK")  # sl_send_reply("200", "OK");
        return  # exit; }
    if is_method("PUBLISH"):  # if (is_method("PUBLISH")) {
        await drop()  # drop; }
    if not await forward() and not is_method("ACK"):  # if (!forward() && !is_method("ACK")) {
        sl_send_reply(503, "Cannot forward")  # sl_send_reply("503", "Cannot forward"); } }

"""Which containers of video are opened, and how their files' names end; apart from `frames`, since asking needs no decoders."""

CONTAINERS = "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,ivf,mjpeg,h264,hevc,m4v,yuv4mpegpipe,mxf,dv"
VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv"}
)

"""Which containers of video are opened; apart from `frames`, since asking does not need the decoders."""

CONTAINERS = "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,ivf,mjpeg,h264,hevc,m4v,yuv4mpegpipe,mxf,dv"

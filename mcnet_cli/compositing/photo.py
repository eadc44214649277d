"""Prototype."""
import cv2, math
import numpy as np

REACH=1.6
GRID=64
PAD=19
EDGE_FADE=0.35
CROWN=0.25

def fill(image, known):
    """(H,W,C) float32, known (H,W) float32 in [0,1]: unknown pixels from ever smaller pictures."""
    h,w=known.shape
    if min(h,w)<=2:
        total=(image*known[...,None]).sum((0,1)); mean=total/max(known.sum(),1e-4)
        return image*known[...,None]+mean*(1-known[...,None])
    size=((w+1)//2,(h+1)//2)
    share=cv2.resize(known,size,interpolation=cv2.INTER_AREA)
    small=cv2.resize(image*known[...,None],size,interpolation=cv2.INTER_AREA)/np.maximum(share,1e-4)[...,None]
    smaller=fill(small,np.minimum(4*share,1))
    around=cv2.resize(smaller,(w,h),interpolation=cv2.INTER_LINEAR)
    return around+(image-around)*known[...,None]

def smoothstep(t):
    t=np.clip(t,0,1); return t*t*(3-2*t)

class Layers:
    def __init__(self, photo, matte, box):
        H,W=photo.shape[:2]
        self.photo=photo; self.box=box
        cx,cy=box.x+box.width/2,box.y+box.height/2
        rx,ry=REACH*box.width/2,REACH*box.height/2
        x0,y0=max(0,math.floor(cx-rx)),max(0,math.floor(cy-ry)); x1,y1=min(W,math.ceil(cx+rx)),min(H,math.ceil(cy+ry))
        self.rect=(x0,y0,x1,y1)
        sub=photo[y0:y1,x0:x1].astype(np.float32); a=matte[y0:y1,x0:x1].copy()
        # the person: what hangs together with the face
        n,labels=cv2.connectedComponents((a>0.3).astype(np.uint8))
        fx0,fx1=int(max(0,box.x+.3*box.width-x0)),int(box.x+.7*box.width-x0); fy0,fy1=int(max(0,box.y+.3*box.height-y0)),int(box.y+.8*box.height-y0)
        inner=labels[fy0:fy1,fx0:fx1]; counts=np.bincount(inner.ravel(),minlength=n); counts[0]=0
        keep=counts.argmax()
        near=cv2.dilate((labels==keep).astype(np.uint8),np.ones((9,9),np.uint8))
        a*=near
        self.found=counts[keep]>0.5*inner.size
        grow=max(1,round(0.01*box.width))
        unknown=cv2.dilate((a>0.02).astype(np.float32),np.ones((2*grow+1,)*2,np.uint8))
        self.plate=np.clip(np.rint(fill(sub,1-unknown)),0,255).astype(np.uint8)
        front=fill(sub,smoothstep((a-0.85)/0.1))
        keepc=smoothstep((a-0.85)/0.1)[...,None]
        rgba=np.dstack([front,a*255])
        # above the photo
        self.top=0
        if y0==0 and (a[0]>0.5).any():
            m=round(CROWN*box.height); self.top=m
            cols=np.flatnonzero(a[0]>0.5); mid=(cols[0]+cols[-1])/2; half=(cols[-1]-cols[0]+1)/2
            height=0.35*half*(1-((np.arange(a.shape[1])-mid)/half)**2)
            above=m-np.arange(m)
            crown=np.clip((height[None]-above[:,None]+1)/2,0,1)*255
            ext=np.repeat(rgba[:1],m,0); ext[...,3]=np.minimum(crown,255)
            rgba=np.concatenate([ext,rgba])
        self.rgba=cv2.resize(np.clip(np.rint(rgba),0,255).astype(np.uint8),None,fx=2,fy=2,interpolation=cv2.INTER_CUBIC)
        # fades
        z=(np.arange(GRID+2*PAD)-PAD)*2/(GRID-1)-1
        r=np.maximum(np.abs(z)[None],np.abs(z)[:,None])
        self.fade=smoothstep((REACH-r)/(REACH-1)).astype(np.float32)
        px=cx+z*box.width/2; py=cy+z*box.height/2
        L=EDGE_FADE*box.width
        if x1==W and (a[:,-1]>0.5).mean()>0.02: self.fade*=smoothstep((W-px)/L).astype(np.float32)[None]
        if x0==0 and (a[:,0]>0.5).mean()>0.02: self.fade*=smoothstep(px/L).astype(np.float32)[None]
        if y1==H and (a[-1]>0.5).mean()>0.02: self.fade*=smoothstep((H-py)/L).astype(np.float32)[:,None]
        h,w=y1-y0,x1-x0
        kx=(GRID-1)/2/(box.width/2*255/256); ky=(GRID-1)/2/(box.height/2*255/256)
        self.A=np.array([[kx,0,(x0+.5-cx)*kx+(GRID-1)/2+PAD],[0,ky,(y0+.5-cy)*ky+(GRID-1)/2+PAD]],np.float64)
        gx,gy=np.meshgrid(np.arange(w,dtype=np.float32),np.arange(h,dtype=np.float32))
        self.gx,self.gy=gx,gy

    def frame(self, D, trust, painted):
        """D (64,64,2) displacement in [-1,1]; trust (64,64); painted (256,256,3) uint8."""
        x0,y0,x1,y1=self.rect; w,h=x1-x0,y1-y0; b=self.box
        d=np.pad(D,((PAD,PAD),(PAD,PAD),(0,0)),mode="edge")*self.fade[...,None]*np.float32([b.width/2*255/256,b.height/2*255/256])
        d=cv2.warpAffine(np.ascontiguousarray(d,np.float32),self.A,(w,h),flags=cv2.INTER_LINEAR|cv2.WARP_INVERSE_MAP,borderMode=cv2.BORDER_REPLICATE)
        mx=(self.gx+d[...,0])*2+0.5; my=(self.gy+d[...,1]+self.top)*2+0.5
        moved=cv2.remap(self.rgba,mx,my,cv2.INTER_LINEAR,borderMode=cv2.BORDER_REPLICATE)
        rgb,a=moved[...,:3].astype(np.float32),moved[...,3:].astype(np.float32)/255
        # paint
        t=cv2.warpAffine(np.pad(1-trust,PAD,mode="constant"),self.A,(w,h),flags=cv2.INTER_LINEAR|cv2.WARP_INVERSE_MAP)
        k=256/b.width; ky=256/b.height
        P=np.array([[k,0,(x0+.5-b.x)*k-.5],[0,ky,(y0+.5-b.y)*ky-.5]])
        g=cv2.warpAffine(painted,P,(w,h),flags=cv2.INTER_CUBIC|cv2.WARP_INVERSE_MAP,borderMode=cv2.BORDER_REPLICATE)
        rgb+= (g-rgb)*t[...,None]
        out=self.photo.copy()
        out[y0:y1,x0:x1]=np.clip(np.rint(rgb*a+self.plate*(1-a)),0,255)
        return out
